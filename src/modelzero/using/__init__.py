"""Use a run: predict new images, and export files for other programs."""
