"""What a training leaves on disk: the record, and the folder that holds it."""
