"""The named sets, where they are published, and how they are fetched."""
