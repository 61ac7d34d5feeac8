"""A topology in QEMU's words: root ports, switch ports and cards as QMP's device_add and -device want them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from metis_provision.lab.topology import Board, Link, Slot, Topology

Device = dict[str, object]

# PCIELinkSpeed in QEMU's qapi/common.json.
_SPEEDS = {1: "2_5", 2: "5", 3: "8", 4: "16"}
_SLOT_WINDOW = 64 << 20
"""Bytes of addresses that a port keeps for a card that comes late: its two windows, rounded to a power of two."""


def bus_devices(topology: Topology, sockets: Mapping[str, Path]) -> list[Device]:
    """Return every port, and a card for each slot that has a socket."""
    ports = [device for number, port in enumerate(topology.ports) for device in _port_devices(number, port)]
    return [*ports, *(card_device(topology, slot, socket) for slot, socket in sockets.items())]


def card_device(topology: Topology, slot: str, socket: Path) -> Device:
    """Return the card that is served on ``socket``, in its slot."""
    return {
        "driver": "vfio-user-pci",
        "id": card_id(slot),
        "bus": _buses(topology)[slot],
        "socket": {"type": "unix", "path": str(socket)},
    }


def card_id(slot: str) -> str:
    """Return what QEMU calls the card in a slot."""
    return f"card-{slot}"


def _port_devices(number: int, port: Slot | Board) -> Iterator[Device]:
    if isinstance(port, Slot):
        yield _root_port(number, port.link, slots=1)
        return
    yield _root_port(number, port.root, slots=len(port.slots))
    # QEMU's ports of a plain PCIe switch are those of a chip with one slow lane. The ports of a CXL switch are PCIe
    # ports that let us say what they can do; what CXL adds to them, nothing here speaks.
    yield {"driver": "cxl-upstream", "id": _upstream(number), "bus": _root(number), **_capability(port.upstream)}
    for at, slot in enumerate(port.slots):
        yield {
            "driver": "cxl-downstream",
            "id": _downstream(number, at),
            "bus": _upstream(number),
            "port": at,
            "chassis": number + 1,
            "slot": at + 2,
            **_capability(slot.link),
        }


def _root_port(number: int, link: Link, slots: int) -> Device:
    return {
        "driver": "pcie-root-port",
        "id": _root(number),
        "chassis": number + 1,
        "slot": 1,
        "mem-reserve": _SLOT_WINDOW * slots,
        **_capability(link),
    }


def _capability(link: Link) -> Device:
    return {"x-speed": _SPEEDS[link.generation], "x-width": str(link.lanes)}


def _buses(topology: Topology) -> dict[str, str]:
    buses = [
        bus
        for number, port in enumerate(topology.ports)
        for bus in (
            [_downstream(number, at) for at in range(len(port.slots))] if isinstance(port, Board) else [_root(number)]
        )
    ]
    return dict(zip(topology.slots, buses, strict=True))


def _root(number: int) -> str:
    return f"rp{number}"


def _upstream(number: int) -> str:
    return f"up{number}"


def _downstream(number: int, at: int) -> str:
    return f"dn{number}-{at}"
