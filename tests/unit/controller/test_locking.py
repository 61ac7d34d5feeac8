"""A directory's lock is held by one, ends with its holder, and leaves no file."""

from __future__ import annotations

import shutil
import subprocess
import sys

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


GREENLETS = """
import sys
import pyinfra_cli  # makes greenlets of threads, and puts off closing
import gevent
from pathlib import Path
from metis_provision.controller.locking import locked

directory, order = Path(sys.argv[1]), []
with locked(directory):
    order.append("alone")
def work(name):
    with locked(directory):
        order.append(name)
        gevent.sleep(0.01)
        order.append(name)
gevent.joinall([gevent.spawn(work, "first"), gevent.spawn(work, "second")])
print(*order)
"""


def test_greenlets_of_one_process_take_turns(tmp_path):
    command = [sys.executable, "-c", GREENLETS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["alone", "first", "first", "second", "second"]
