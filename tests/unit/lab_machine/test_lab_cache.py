"""An entry of the cache is complete or not there, and its name changes with its recipe."""

from __future__ import annotations

import os
import threading
import time

import pytest

from metis_provision.controller.directories import cache_dir
from metis_provision.lab.cache import UNUSED_AGE, obtain, recipe_key
from metis_provision.model.errors import UserError

RECIPE = {"packages": ["a", "b"], "layout": 1}


class Builder:
    """Writes one file and counts how often it was asked to."""

    def __init__(self, text="built", error=None):
        self.text, self.error, self.calls = text, error, 0

    def __call__(self, directory):
        self.calls += 1
        (directory / "file").write_text(self.text)
        if self.error:
            raise self.error


def test_the_key_depends_on_the_content_alone():
    assert recipe_key(RECIPE) == recipe_key({"layout": 1, "packages": ["a", "b"]})
    assert recipe_key(RECIPE) != recipe_key({**RECIPE, "packages": ["b", "a"]})
    assert recipe_key(RECIPE) != recipe_key({**RECIPE, "layout": 2})


def test_an_entry_is_built_once():
    build = Builder()
    entry = obtain("things", RECIPE, build)
    assert obtain("things", RECIPE, build) == entry
    assert (entry / "file").read_text() == "built"
    assert build.calls == 1


def test_a_failed_build_leaves_nothing():
    with pytest.raises(UserError):
        obtain("things", RECIPE, Builder(error=UserError("no network")))
    assert list((cache_dir() / "things").iterdir()) == []


def test_what_a_killed_builder_left_is_removed_and_built_anew():
    partial = cache_dir() / "things" / f"{recipe_key(RECIPE)}.partial"
    partial.mkdir(parents=True)
    (partial / "half").touch()
    entry = obtain("things", RECIPE, Builder())
    assert sorted(path.name for path in entry.iterdir()) == ["file", "made"]
    assert not partial.exists()


def test_an_entry_that_is_too_old_is_built_again():
    obtain("things", RECIPE, Builder("old"))
    build = Builder("new")
    assert (obtain("things", RECIPE, build, max_age=-1) / "file").read_text() == "new"
    assert build.calls == 1


def test_an_old_entry_is_better_than_none(caplog):
    obtain("things", RECIPE, Builder("old"))
    entry = obtain("things", RECIPE, Builder(error=UserError("No network.")), max_age=-1)
    assert (entry / "file").read_text() == "old"
    assert "No network." in caplog.text


def test_a_programming_error_is_not_hidden_by_an_old_entry():
    obtain("things", RECIPE, Builder("old"))
    with pytest.raises(RuntimeError):
        obtain("things", RECIPE, Builder(error=RuntimeError("bug")), max_age=-1)


def test_entries_nobody_uses_go_when_another_is_made():
    old = obtain("things", RECIPE, Builder())
    recent = obtain("things", {"layout": 2}, Builder())
    long_ago = time.time() - UNUSED_AGE - 1
    os.utime(old, (long_ago, long_ago))
    obtain("things", {"layout": 3}, Builder())
    assert not old.exists()
    assert recent.exists()


def test_two_at_once_build_once():
    started, finish = threading.Event(), threading.Event()
    built, entries = [], []

    def slow(directory):
        built.append(directory)
        started.set()
        finish.wait(10)

    workers = [threading.Thread(target=lambda: entries.append(obtain("things", RECIPE, slow))) for _ in range(2)]
    workers[0].start()
    started.wait(10)
    workers[1].start()
    finish.set()
    for worker in workers:
        worker.join(10)
    assert len(built) == 1
    assert entries[0] == entries[1]
