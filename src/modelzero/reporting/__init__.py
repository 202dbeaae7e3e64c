"""Reports, charts and image sheets made from data and records."""
