"""Image files to pixels: isolated processes, limits, a cache."""
