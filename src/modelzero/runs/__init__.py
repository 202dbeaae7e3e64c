"""What a training run leaves on disk: its record, and the folder that holds it."""
