"""Atomic files, killable processes and JSON."""
