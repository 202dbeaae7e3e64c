"""Pictures made from data and records."""
