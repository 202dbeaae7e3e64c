"""A run put to use: classes of new images, and files for other programs."""
