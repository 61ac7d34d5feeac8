"""The cache: entries named after a hash of the recipe that makes them, complete or not there at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from metis_provision.controller.directories import cache_dir
from metis_provision.controller.locking import Busy, locked
from metis_provision.model.errors import UserError

logger = logging.getLogger(__name__)

DAY = 24 * 3600.0
UNUSED_AGE = 14 * DAY
"""Seconds after which an entry that nothing has asked for is removed when another one is made."""
_PARTIAL = ".partial"

Recipe = Mapping[str, object]


def recipe_key(recipe: Recipe) -> str:
    """Return the name of the entry a recipe makes: equal recipes, equal names."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def obtain(kind: str, recipe: Recipe, build: Callable[[Path], None], *, max_age: float | None = None) -> Path:
    """Return the entry of ``recipe`` among those of ``kind``, made by ``build(empty directory)`` if need be.

    Any number of processes may ask at once: one builds, the others wait for it. An entry older than ``max_age``
    seconds is made again; if that fails with a UserError, the old one is used and the log says so.
    """
    shelf = cache_dir() / kind
    shelf.mkdir(parents=True, exist_ok=True)
    entry = shelf / recipe_key(recipe)
    if _fresh(entry, max_age):
        return _used(entry)
    try:
        with locked(shelf, patience=0):
            return _obtain_locked(shelf, entry, build, max_age)
    except Busy:
        logger.info("waiting for another process that works in %s", shelf)
    with locked(shelf):
        return _obtain_locked(shelf, entry, build, max_age)


def _obtain_locked(shelf: Path, entry: Path, build: Callable[[Path], None], max_age: float | None) -> Path:
    if _fresh(entry, max_age):
        return _used(entry)
    _sweep(shelf, keep=entry)
    partial = shelf / f"{entry.name}{_PARTIAL}"
    partial.mkdir()
    try:
        build(partial)
    except BaseException as error:
        shutil.rmtree(partial)
        if isinstance(error, UserError) and entry.is_dir():
            logger.warning("%s Going on with what is in the cache, %.0f days old.", error, _age(entry) / DAY)
            return _used(entry)
        raise
    if entry.is_dir():
        shutil.rmtree(entry)
    (partial / "made").touch()
    partial.rename(entry)
    return entry


def _fresh(entry: Path, max_age: float | None) -> bool:
    return entry.is_dir() and (max_age is None or _age(entry) < max_age)


def _age(entry: Path) -> float:
    return time.time() - (entry / "made").stat().st_mtime


def _used(entry: Path) -> Path:
    os.utime(entry)
    return entry


def _sweep(shelf: Path, keep: Path) -> None:
    """Remove what a killed builder left and what nothing has used for long; the shelf is locked."""
    for path in shelf.iterdir():
        abandoned = path.name.endswith(_PARTIAL)
        unused = path != keep and time.time() - path.stat().st_mtime > UNUSED_AGE
        if abandoned or unused:
            shutil.rmtree(path)
