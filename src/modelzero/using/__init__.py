"""A run put to use: classes of new pictures, and files for other programs."""
