"""Where the controller keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def base_directory(variable: str, fallback: str) -> Path:
    """A base directory of the XDG specification: ``variable``'s if that is absolute, else ``fallback`` below home."""
    # The specification of base directories has relative values ignored.
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / fallback


def cache_dir() -> Path:
    """Return the cache; everything in it can be made or fetched again."""
    return base_directory("XDG_CACHE_HOME", ".cache") / "metis-provision"
