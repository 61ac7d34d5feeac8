"""Network interfaces whose cable is a file descriptor: tun(4) devices, made in this or in another network namespace."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metis_provision.model.errors import ExitCode, UserError

DEVICE = Path("/dev/net/tun")
# linux/if_tun.h, linux/sched.h
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_NAME_AND_FLAGS = "16sH22x"


def open_tun(name: str) -> int:
    """Make an interface in the present network namespace and return its cable, non-blocking.

    It is gone as soon as the descriptor is closed. OSError if the name is taken.
    """
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack(_NAME_AND_FLAGS, name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def give_address(interface: str, address: str) -> None:
    """Set an interface up with an address such as 198.18.0.1/24, in the present network namespace, and lo with it."""
    lines = ("link set lo up", f"address add {address} dev {interface}", f"link set {interface} up")
    result = subprocess.run(
        ["ip", "-batch", "-"], input="".join(f"{line}\n" for line in lines), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise UserError(f"ip cannot set up {interface} with {address}: {result.stderr.strip()}", ExitCode.FAILED)


@contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process meanwhile; only for a program of a single thread."""
    with Path("/proc/self/ns/net").open() as home, Path(f"/proc/{pid}/ns/net").open() as away:
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(descriptor: int) -> None:
    # Python has os.setns from 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
