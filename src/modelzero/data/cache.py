"""Where downloads and decoded pictures are kept."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return the platform's cache folder for modelzero."""
    return Path(platformdirs.user_cache_dir("modelzero"))
