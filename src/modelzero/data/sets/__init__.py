"""The named datasets: where they are published and how they are downloaded."""
