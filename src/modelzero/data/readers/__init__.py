"""One file for each way in which images are stored; `choose` finds the one that fits."""
