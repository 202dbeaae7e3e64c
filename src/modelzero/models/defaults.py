"""Defaults that commands show before anything is loaded: nothing is imported here."""

HIDDEN_UNITS = 10  # width of the chapter's models
