"""What this machine's own apt configuration says about reaching Debian: mirrors, proxies, options.

The project names no mirror: guests and tools come from where the controller's packages come from.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metis_provision.model.errors import UserError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
HOST_SEEN_FROM_GUEST = "10.0.2.2"
"""The controller's address in QEMU's user-mode network (QEMU's documentation, "Using the user mode network stack")."""

_INDEX_FORMAT = "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)"
_RELEASES = "bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable"
_ARCHIVE = re.compile(rf"({_RELEASES})(-updates|-backports)?")
_SECURITY = re.compile(rf"({_RELEASES})-security")
_FORWARDED = re.compile(r"Acquire::(https?::|Retries|Check-Valid-Until|Check-Date|ForceIPv[46])", re.IGNORECASE)
_LOOPBACK = re.compile(r"(?<=://)(localhost|127\.[0-9.]+|\[::1\])(?=[:/]|$)")


@dataclass(frozen=True, slots=True)
class AptSetup:
    """How apt reaches Debian from here; ``options`` are lines of apt.conf(5)."""

    archive: str
    security: str | None
    options: tuple[str, ...]

    def sources(self, release: str, *, backports: bool = False) -> list[str]:
        """Return the one-line sources (sources.list(5)) of a Debian release."""
        lines = [f"deb {self.archive} {release} main", f"deb {self.archive} {release}-updates main"]
        if self.security is not None:
            lines.append(f"deb {self.security} {release}-security main")
        if backports:
            lines.append(f"deb {self.archive} {release}-backports main")
        return lines

    def guest_options(self) -> tuple[str, ...]:
        """Return ``options`` as a guest needs them: a proxy on this machine's loopback has another address there."""
        return tuple(_LOOPBACK.sub(HOST_SEEN_FROM_GUEST, option) for option in self.options)

    @property
    def uses_tls(self) -> bool:
        """Return whether a guest needs certificates to reach the mirrors."""
        return any("https://" in text for text in (self.archive, self.security or "", *self.options))


def parse_apt_setup(indexes: Iterable[str], options: Iterable[str], environment: Mapping[str, str]) -> AptSetup:
    """Build the setup from lines of ``apt-get indextargets`` and ``apt-config dump`` and from proxy variables.

    Raises UserError if no Debian archive is among the sources.
    """
    archive = security = None
    for line in indexes:
        match line.split():
            case ["Packages", uri, release, "main"]:
                if archive is None and _ARCHIVE.fullmatch(release):
                    archive = uri.rstrip("/")
                elif security is None and _SECURITY.fullmatch(release):
                    security = uri.rstrip("/")
    if archive is None:
        raise UserError(
            "apt has no Debian mirror with component main: add one to /etc/apt/sources.list.d (sources.list(5))."
        )
    kept = [line for line in options if _FORWARDED.match(line)]
    for scheme in ("http", "https"):
        proxy = environment.get(f"{scheme}_proxy")
        if proxy and not any(line.lower().startswith(f"acquire::{scheme}::proxy ") for line in kept):
            kept.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return AptSetup(archive, security, tuple(kept))


def read_apt_setup() -> AptSetup:
    """Return this machine's setup; UserError where apt is missing or has no Debian mirror."""
    try:
        indexes = _lines("apt-get", "indextargets", "--format", _INDEX_FORMAT)
        options = _lines("apt-config", "dump", "--format", '%F "%v";%n')
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise UserError(
            "apt does not answer: the lab's machine is built from Debian packages by a Debian host."
        ) from error
    return parse_apt_setup(indexes, options, os.environ)


def local_certificates() -> list[Path]:
    """Return the certificate authorities this machine trusts beyond Debian's own."""
    return sorted(LOCAL_CERTIFICATES.glob("**/*.crt"))


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
