"""Checks of the host as a whole: its clock and its platform."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from metis_provision.checks.evidence import LOOK_AGAIN, CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, unknown, warned

checks = Checks()

# A board without a battery wakes in 1970 or at its last shutdown; no driver this project installs is older.
_FLOOR = datetime(2025, 1, 1, tzinfo=UTC)

# An initramfs of the largest stock kernels has some 60 MiB and is written beside the old one.
_FLOOR_MIB = 128
# Few boot partitions are large, and /tmp is often memory; what needs them says so itself.
_MAY_BE_SMALL = frozenset({"/boot", "/tmp"})  # noqa: S108

_PAGE = 4096
_LARGER_PAGE = 16384
"""Bytes; the Raspberry Pi 5's usual kernel."""


@checks.answers("METIS-010")
def clock(evidence: Evidence) -> Iterator[Outcome]:
    """The clock is past the floor."""
    epoch = evidence.host.epoch
    if epoch is None:
        raise CannotLook("the clock could not be read")
    try:
        date = datetime.fromtimestamp(epoch, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise CannotLook(f"the clock says second {epoch}, which is no date") from error
    if date < _FLOOR:
        yield failed(date=f"{date:%Y-%m-%d}", floor=f"{_FLOOR:%Y-%m-%d}")
    else:
        yield passed(f"The clock says {date:%Y-%m-%d %H:%M} UTC.")


@checks.answers("METIS-011")
def room(evidence: Evidence) -> Iterator[Outcome]:
    """Every file system that is written to has room."""
    free = {path: kib // 1024 for path, kib in evidence.host.free_kib.items() if path not in _MAY_BE_SMALL}
    if not free:
        raise CannotLook("the free space could not be read")
    least = min(free.values())
    if least >= _FLOOR_MIB:
        yield passed(f"{least} MiB at least.")
    # What lies on one file system has the same room and is one finding.
    for mib in sorted({mib for mib in free.values() if mib < _FLOOR_MIB}):
        path = next(path for path, found in free.items() if found == mib)
        yield failed(about=path, short=f"{mib} MiB free", path=path, free=mib, floor=_FLOOR_MIB)


@checks.answers("METIS-012")
def writable(evidence: Evidence) -> Iterator[Outcome]:
    """/etc and /var are mounted for writing."""
    found = evidence.host.writable
    if not found:
        yield unknown("how /etc and /var are mounted could not be read", LOOK_AGAIN, required=False)
    for path, fine in found.items():
        if fine:
            yield passed(f"{path} is mounted for writing.", subject=path)
        else:
            yield failed(about=path, short="read-only", path=path)


@checks.answers("METIS-013")
def package_manager_free(evidence: Evidence) -> Iterator[Outcome]:
    """No lock file of the package manager is locked."""
    locks = evidence.host.package_locks
    if locks is None:
        raise CannotLook("/proc/locks could not be read")
    if not locks:
        yield passed("No lock of the package manager is held.")
    for lock in locks:
        holder = f"{lock.command or 'an unnamed process'} (process {lock.pid})"
        yield warned(about=lock.path, short="packages locked", holder=holder, path=lock.path, pid=lock.pid)


@checks.answers("METIS-014")
def page_size(evidence: Evidence) -> Iterator[Outcome]:
    """The kernel's pages are of the size that cards are run with."""
    size = evidence.host.page_size
    if size is None:
        raise CannotLook("the size of the kernel's pages could not be read")
    if size == _PAGE:
        yield passed(f"The kernel has pages of {size} bytes.")
    elif size == _LARGER_PAGE:
        yield unknown(
            f"the kernel has pages of {size} bytes, and nobody has said whether the driver is right there",
            "Nothing to repair; if the card misbehaves, boot a kernel with 4 KiB pages (kernel=kernel8.img on a "
            "Raspberry Pi 5) and compare.",
        )
    else:
        yield warned(size=size)


@checks.answers("METIS-020")
def platform(evidence: Evidence) -> Iterator[Outcome]:
    """The plan found nothing that rules this host out."""
    host = evidence.host
    name = host.os_release.get("PRETTY_NAME") or host.os_release.get("ID")
    if evidence.desired.blockers:
        yield failed(blockers="; ".join(blocker.rstrip(". ") for blocker in evidence.desired.blockers))
    elif not name:
        raise CannotLook("the host does not say which system it runs", "See that /etc/os-release is there.")
    else:
        yield passed(f"{name}, {host.architecture or 'unknown machine'}, {host.init}.")
