"""Pure functions on arrays: no input or output, no printing, no torch."""
