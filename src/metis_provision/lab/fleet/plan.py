"""What a fleet consists of, as data: names, addresses, and delays as people write them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from metis_provision.model.errors import UserError

MOST_HOSTS = 250
"""One network of /24 holds a fleet: 254 addresses, the last one is this machine's."""
BENCHMARKS = ipaddress.IPv4Network("198.18.0.0/15")
"""For tests of network equipment (RFC 2544, RFC 6890): routed nowhere, and in no office's network."""
LONGEST_DELAY = 60.0
"""Seconds; longer ones are cuts to every client there is."""
_DELAY = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
_SECONDS = {"ms": 0.001, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Network:
    """The network of one fleet: its first hosts' addresses are the hosts', its last one is this machine's."""

    cidr: str

    @property
    def gateway(self) -> str:
        """The address of this machine, as the hosts see it."""
        return str(ipaddress.IPv4Network(self.cidr)[-2])

    @property
    def interface(self) -> str:
        """What this machine's interface is called; 15 characters are possible (IFNAMSIZ)."""
        return "metis" + "-".join(self.cidr.split(".")[1:3])

    @property
    def prefix(self) -> int:
        """Bits of an address that are the network's."""
        return ipaddress.IPv4Network(self.cidr).prefixlen

    def address(self, number: int) -> str:
        """Return the address of the host with that number, 1 for the first."""
        if not 1 <= number <= MOST_HOSTS:
            raise ValueError(f"a fleet has no host number {number}")
        return str(ipaddress.IPv4Network(self.cidr)[number])


def free_networks(taken: Collection[str]) -> list[Network]:
    """Return the networks that overlap with none of ``taken`` (addresses or networks); UserError if there is none."""
    occupied = [ipaddress.IPv4Network(text, strict=False) for text in taken]
    free = [
        Network(str(candidate))
        for candidate in BENCHMARKS.subnets(new_prefix=24)
        if not any(candidate.overlaps(network) for network in occupied)
    ]
    if not free:
        raise UserError(f"No network of {BENCHMARKS} is free for a fleet: every one of them has a route already.")
    return free


def host_names(fleet: str, count: int) -> list[str]:
    """Return what the hosts of a fleet are called."""
    return [f"{fleet}-{number}" for number in range(1, count + 1)]


def parse_delay(text: str) -> float:
    """Return seconds of ``80ms`` or ``0.5s``; UserError for anything else."""
    match = _DELAY.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{text!r} is no delay: write it as 80ms or 0.5s.")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST_DELAY:
        raise UserError(f"A delay of {text} is too long: at most {LONGEST_DELAY:.0f}s; --cut cuts a host off.")
    return seconds
