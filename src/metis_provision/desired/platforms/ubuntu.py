"""Ubuntu and what is made from it."""

from __future__ import annotations

from typing import ClassVar

from metis_provision.desired.platforms.base import Example, InitSystem, names
from metis_provision.desired.platforms.debian import Debian
from metis_provision.model.survey import Host


class Ubuntu(Debian):
    """Debian's tools; kernels that may follow a hardware-enablement stack, which the release does not show."""

    name: ClassVar[str] = "ubuntu"
    inits: ClassVar[tuple[InitSystem, ...]] = (InitSystem.SYSTEMD,)
    example: ClassVar[Example] = Example(
        {"ID": "ubuntu", "ID_LIKE": "debian", "VERSION_ID": "24.04", "PRETTY_NAME": "Ubuntu 24.04 LTS"},
        {"x86_64": "6.8.0-136-generic", "aarch64": "6.8.0-1044-raspi"},
    )

    def runtime_suite(self, host: Host) -> str | None:
        """The vendor has one for each long-term release from 22.04 to 24.04 (the vendor's documents)."""
        return {"22.04": "ubuntu22", "24.04": "ubuntu24"}.get(host.os_release.get("VERSION_ID", ""))

    @classmethod
    def recognises(cls, host: Host) -> bool:
        """By ID, or ID_LIKE as Mint has it."""
        return "ubuntu" in names(host)
