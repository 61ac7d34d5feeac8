"""The wire between this machine and the hosts of a fleet: packets in, packets out, late or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

LONGEST_PACKET = 65535
BURST = 64
"""Packets taken from one end before the others have their turn."""
_IPV4 = 4

Schedule = Callable[[float, Callable[[], None]], object]


@dataclass(slots=True)
class End:
    """One end of the wire: a descriptor that gives and takes whole packets.

    ``delay`` in seconds applies to what comes in from this end, as netem's does to what an interface sends.
    """

    name: str
    address: bytes
    descriptor: int
    delay: float = 0.0
    cut: bool = False
    open: bool = True


class Wire:
    """Carries IPv4 packets between its ends by their destination; anything else is dropped.

    A cut end neither sends nor gets anything, and nobody is told: connections over it hang until they are given up
    or the cut is healed, as with a cable that was pulled.
    """

    def __init__(self, schedule: Schedule) -> None:
        """``schedule(seconds, callback)`` calls back that much later."""
        self._schedule = schedule
        self.ends: dict[bytes, End] = {}

    def attach(self, end: End) -> None:
        """Add an end; ValueError if its address is taken."""
        if end.address in self.ends:
            raise ValueError(f"{end.name} has the address of {self.ends[end.address].name}")
        self.ends[end.address] = end

    def detach(self, end: End) -> None:
        """Take an end away; packets on their way to it are lost."""
        end.open = False
        del self.ends[end.address]
        os.close(end.descriptor)

    def receive(self, end: End) -> None:
        """Carry what an end has to send."""
        for _ in range(BURST):
            try:
                packet = os.read(end.descriptor, LONGEST_PACKET)
            except BlockingIOError:
                return
            except OSError as error:
                logger.warning("%s: %s", end.name, error)
                return
            self._carry(end, packet)

    def _carry(self, source: End, packet: bytes) -> None:
        if source.cut or len(packet) < 20 or packet[0] >> 4 != _IPV4:
            return
        target = self.ends.get(packet[16:20])
        if target is None:
            return
        if source.delay:
            self._schedule(source.delay, lambda: self._deliver(source, target, packet))
        else:
            self._deliver(source, target, packet)

    def _deliver(self, source: End, target: End, packet: bytes) -> None:
        if source.cut or target.cut or not target.open:
            return
        try:
            os.write(target.descriptor, packet)
        except OSError as error:
            # A full queue or an interface that is down loses packets on real wires too.
            logger.debug("to %s: %s", target.name, error)
