"""Images in, `ImageData` out. This room knows no model."""
