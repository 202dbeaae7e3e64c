"""The models, one short file per family, and the ladder that orders them. This room knows no file."""
