"""The margin of comparisons. Nothing is imported here, because the commands show it before anything is loaded."""

MARGIN = 0.003  # differences below this fraction are practically none
