"""Where the lab keeps the state of its machines."""

from __future__ import annotations

import os
from pathlib import Path

from metis_provision.controller.directories import base_directory
from metis_provision.model.errors import UserError

LONGEST_SOCKET_PATH = 107
"""Bytes a UNIX socket's path may have: sockaddr_un holds 108 with the closing NUL, see unix(7)."""


def state_dir() -> Path:
    """Return the directory that holds one directory per lab machine."""
    return base_directory("XDG_STATE_HOME", ".local/state") / "metis-provision" / "lab"


def require_socket_path(path: Path) -> None:
    """Raise UserError if no UNIX socket can have this path."""
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise UserError(
            f"The socket path {path} has {length} bytes, {LONGEST_SOCKET_PATH} are possible: "
            "choose a shorter machine name, or a shorter directory in XDG_STATE_HOME."
        )
