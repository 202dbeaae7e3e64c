"""Decode image files to pixels: in isolated processes, with limits and a cache."""
