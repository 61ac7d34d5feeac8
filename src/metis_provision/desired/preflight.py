"""Reasons why a host cannot be provisioned at all; nothing is changed while there is one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from metis_provision.desired import boot, runtime
from metis_provision.desired.platforms import Platform
from metis_provision.model.receipt import RECEIPT_PATH, ReceiptUnreadable, read_receipt
from metis_provision.model.settings import DriverSource, Settings
from metis_provision.model.survey import Host, ModuleTrust, SignatureState, Survey

EARLIEST_CLOCK = datetime(2025, 1, 1, tzinfo=UTC)
"""No release in the catalogue is older: a clock before it has not been set, and package signatures fail under it."""

NEEDED_KIB = {"/usr": 600_000, "/var": 300_000}
"""Measured on Debian 13: headers, compiler and dkms take 400 MB below /usr, lists and archives 150 MB below /var."""


def blockers(settings: Settings, survey: Survey, platform: Platform | None) -> tuple[str, ...]:
    """One sentence per reason, each with what to do."""
    return tuple(_blockers(settings, survey, platform))


def _blockers(settings: Settings, survey: Survey, platform: Platform | None) -> Iterator[str]:
    host = survey.host
    yield from _identity(host, platform)
    if host.uid not in (0, None):
        yield f"the connection works as uid {host.uid}, not as root: use pyinfra's --sudo, or metis-provision's"
    if host.epoch is not None and host.epoch < EARLIEST_CLOCK.timestamp():
        shown = datetime.fromtimestamp(host.epoch, UTC).date()
        yield f"the clock says {shown}: set it (timedatectl set-ntp true), or signatures and the card's bring-up fail"
    for directory, writable in host.writable.items():
        if not writable:
            yield f"{directory} is mounted read-only: mount it for writing (mount -o remount,rw) while the deploy runs"
    if settings.driver is not DriverSource.NONE:
        yield from _build(survey, platform)
    if platform is not None:
        yield from platform.blockers(settings, survey)
        yield from runtime.blockers(settings, survey, platform)
    yield from _fixed_gid(settings, survey)
    yield from boot.blockers(settings, survey)
    try:
        read_receipt(survey.receipt)
    except ReceiptUnreadable as error:
        yield f"{RECEIPT_PATH} is not a receipt of this program ({error}): look at it, then move it away"


def foreseen(settings: Settings, survey: Survey) -> tuple[str, ...]:
    """What will fail although everything is done: one sentence each, with the step that only a person can do."""
    by = survey.signatures_enforced
    if settings.driver is DriverSource.NONE or not by or survey.host.container is not None:
        return ()
    trust = survey.trust or ModuleTrust()
    key = trust.own_path or "/var/lib/dkms/mok.pub"
    if trust.own is None:
        return (
            f"{by} refuses modules whose key is not enrolled, and DKMS has no key here yet: it makes one with its "
            f"first build, which then must be enrolled at the console (mokutil --import {key}, reboot)",
        )
    match trust.standing(trust.own):
        case SignatureState.STAGED:
            return (
                f"{by} refuses the driver until the enrolment of {key} is confirmed: "
                "reboot with somebody at the console",
            )
        case SignatureState.NOT_ENROLLED:
            return (
                f"{by} will refuse the driver: DKMS signs it with {key}, which is not enrolled: "
                f"run mokutil --import {key} and reboot with somebody at the console",
            )
        case _:
            return ()


def _identity(host: Host, platform: Platform | None) -> Iterator[str]:
    if platform is None:
        name = host.os_release.get("PRETTY_NAME") or host.os_release.get("ID") or "an unnamed system"
        yield f"{name} is not a distribution this version can provision"
    if host.architecture in {"aarch64", "x86_64"} and host.userland in {"armhf", "i386"}:
        yield (
            f"a 32-bit system ({host.userland}) on a 64-bit kernel cannot build that kernel's modules: "
            "install the 64-bit image"
        )


def _build(survey: Survey, platform: Platform | None) -> Iterator[str]:
    """Room is asked for only while the compiler or the running kernel's headers are still to come."""
    host = survey.host
    if host.container is not None:
        yield (
            f"this is a container ({host.container}), which cannot load a kernel module: "
            "set metis_driver = 'none' and metis_cards = 0 for it, and provision its host"
        )
        return
    running = survey.running_kernel
    if platform is not None and platform.tools.dkms in survey.packages and running is not None and running.headers:
        return
    for directory, needed in NEEDED_KIB.items():
        free = host.free_kib.get(directory)
        if free is not None and free < needed:
            yield f"{directory} has {free // 1024} MB free, the build needs {needed // 1024} MB: make room there"


def _fixed_gid(settings: Settings, survey: Survey) -> Iterator[str]:
    """A gid that is asked for is what files in containers are owned by: another one is no small difference."""
    found = survey.groups.get(settings.group)
    if settings.group_gid is not None and found is not None and found.id != settings.group_gid:
        yield (
            f"group {settings.group} exists with gid {found.id}, and metis_group_gid asks for {settings.group_gid}: "
            f"run groupmod -g {settings.group_gid} {settings.group} and give its files to the new gid, "
            "or correct metis_group_gid"
        )
