"""Defaults that commands show before anything is loaded: nothing is imported here."""

AUTO = "auto"
PRECISIONS = (AUTO, "fp32", "bf16")  # of a training step; see `Recipe`
HIDDEN_UNITS = 10  # width of the chapter's models
