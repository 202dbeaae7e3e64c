"""Readers, one for each format in which images are stored; `choose` picks the one that fits."""
