"""Climb a ladder: cells, workers and budget, from a list of rungs to a verdict."""
