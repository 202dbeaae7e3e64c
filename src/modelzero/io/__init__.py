"""Atomic files, killable processes, JSON."""
