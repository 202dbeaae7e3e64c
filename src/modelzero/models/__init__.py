"""The models, one short file per family, and the ladder that orders them. Nothing here reads or writes files."""
