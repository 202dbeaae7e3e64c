"""Settings of comparisons. Nothing is imported here, for the commands show them before anything is loaded."""

MARGIN = 0.003  # differences below this fraction are practically none
