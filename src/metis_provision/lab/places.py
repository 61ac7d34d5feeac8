"""The directory of a lab host: who may have one, who is working in it, its state file, and how it is emptied."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metis_provision.controller.locking import Busy, locked
from metis_provision.lab.paths import state_dir
from metis_provision.model.errors import ExitCode, UserError

State = TypeVar("State", bound=BaseModel)

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
"""A host's name is a directory too."""
LOOK_SECONDS = 2.0
"""How long to wait for a host's lock: ``lab list`` takes it for a moment."""


def names() -> list[str]:
    """Return the names of all hosts, in whatever condition."""
    directory = state_dir()
    return sorted(path.name for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []


def check_name(name: str) -> None:
    """Raise UserError for what cannot be a host's name."""
    if NAME.fullmatch(name) is None:
        raise UserError(f"{name!r} is no machine name: at most 31 letters a-z, digits and dashes, a letter first.")


@contextmanager
def held(name: str) -> Iterator[Path]:
    """Keep a host's directory to ourselves while it is made or removed; UserError if somebody else has it."""
    directory = state_dir() / name
    try:
        with locked(directory, patience=LOOK_SECONDS):
            yield directory
    except Busy as error:
        raise UserError(
            f"Another command is working on machine {name}: let it finish or end it first.", ExitCode.FAILED
        ) from error


def save_state(path: Path, state: State) -> State:
    """Write a host's state file by temporary file and rename; return the state."""
    new = path.with_suffix(".new")
    new.write_text(state.model_dump_json(indent=2) + "\n")
    new.replace(path)
    return state


def load_state(kind: str, name: str, file: str, read: Callable[[str], State]) -> State:
    """Return what ``read`` makes of the state ``file`` of the machine, container or fleet (``kind``) of that name.

    UserError if there is none or ``read`` raises ValueError.
    """
    path = state_dir() / name / file
    try:
        return read(path.read_text())
    except FileNotFoundError as error:
        known = ", ".join(other for other in names() if (state_dir() / other / file).exists()) or "none"
        raise UserError(f"There is no {kind} {name} (there are: {known}): metis-provision lab list.") from error
    except ValueError as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"The state in {path} cannot be read ({reason}): metis-provision lab down --name {path.parent.name}"
        ) from error


def empty(directory: Path) -> None:
    """Remove all that is in a directory."""
    for path in directory.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
