"""Images made from data and records."""
