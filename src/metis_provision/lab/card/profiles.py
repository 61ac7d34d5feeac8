"""The boards the virtual card can be."""

from __future__ import annotations

from dataclasses import dataclass

from metis_provision.lab.card.registers import Board


@dataclass(frozen=True, slots=True)
class Profile:
    """What tells one board from another; versions are those of a card in the field."""

    name: str
    board: Board
    memory_mib: int
    link_width: int = 4
    link_speed: int = 3  # PCI Express generation: 8 GT/s
    firmware: tuple[int, int, int] = (1, 3, 2)
    board_controller: tuple[int, int] = (1, 4)
    temperatures: tuple[int, int, int, int, int] = (35000, 34000, 35000, 34000, 35000)


@dataclass(frozen=True, slots=True)
class Port:
    """What the port above a card can do; a link trains to the least of its two ends."""

    generation: int
    lanes: int


ANY_PORT = Port(generation=5, lanes=16)
"""A port that is no slower than any card."""

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("m2", Board.M2, 1024),
        Profile("pcie", Board.PCIE, 4096),
    )
}
