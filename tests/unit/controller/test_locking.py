"""A directory's lock is held by one, ends with its holder, and leaves no file."""

from __future__ import annotations

import shutil

import pytest

from metis_provision.controller.locking import Busy, is_locked, locked


def test_the_second_one_is_told(tmp_path):
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(Busy), locked(tmp_path, patience=0):
            pass
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_removed_by_its_holder_is_gone_for_the_next(tmp_path):
    directory = tmp_path / "machine"
    directory.mkdir()
    with locked(directory):
        shutil.rmtree(directory)
        directory.mkdir()
        assert not is_locked(directory)
    with locked(directory):
        pass
    directory.rmdir()
    with pytest.raises(FileNotFoundError), locked(directory):
        pass
