"""Checks of the PCIe link, judged against the minimum along its path and the carrier's profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from metis_provision.catalog.carriers import carrier
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, passed, per_card, skipped, warned
from metis_provision.model.errors import UserError
from metis_provision.model.survey import PciFunction
from metis_provision.model.verdict import Link

checks = Checks()

_Number = TypeVar("_Number", int, float)

_LOOK_AT_SYSFS = "Look at current_link_speed and max_link_speed below /sys/bus/pci/devices/{} on the host."


@dataclass(frozen=True, slots=True)
class _Limit:
    """What something allows of a link: GT/s and lanes, None where it does not say."""

    name: str
    speed: float | None
    width: int | None


@checks.answers("METIS-120")
def link_as_its_path_allows(evidence: Evidence) -> Iterator[Outcome]:
    """Every hop to the card is as fast and as wide as the least thing on the way allows."""
    yield from per_card(evidence, _against_path)


@checks.answers("METIS-121")
def path_as_the_carrier_gives(evidence: Evidence) -> Iterator[Outcome]:
    """The path allows what the carrier is known to give."""
    yield from per_card(evidence, _against_carrier)


def links(evidence: Evidence) -> Iterator[Link]:
    """Yield the slowest link of each card whose way can be read; the others' checks say what is missing."""
    with suppress(CannotLook, UserError):
        for card in evidence.cards:
            with suppress(CannotLook):
                yield _slowest(evidence, card)


def _slowest(evidence: Evidence, card: PciFunction) -> Link:
    chain = _chain(evidence, card)
    limits = [*_limits(chain), _carrier_limit(evidence)]
    now = [_now(upper, lower) for upper, lower in _hops(chain)] or [_now(card, card)]
    speed, width = min(now, key=lambda hop: hop[0] * hop[1])
    return Link(card.bdf, speed, width, _least_speed(limits), _least_width(limits))


def _against_path(evidence: Evidence, card: PciFunction) -> Outcome:
    chain = _chain(evidence, card)
    if len(chain) == 1:
        return _without_port(card)
    limits = [*_limits(chain), _carrier_limit(evidence)]
    speed, width = _least_speed(limits), _least_width(limits)
    for upper, lower in _hops(chain):
        now_speed, now_width = _now(upper, lower)
        if now_speed < speed or now_width < width:
            _refuse_guess(chain)
            now = _words(now_speed, now_width)
            return warned(
                about=card.bdf,
                short=now,
                hop=f"{upper.bdf} to {lower.bdf}",
                now=now,
                allowed=_words(speed, width),
                limits=_limits_words(limits),
            )
    now = _words(*_now(chain[-2], chain[-1]))
    return passed(f"{card.bdf} runs at {now} ({_limits_words(limits)}).", subject=card.bdf, brief=now)


def _against_carrier(evidence: Evidence, card: PciFunction) -> Outcome:
    profile = carrier(evidence.settings.carrier)
    if profile.link.speed is None and profile.link.width is None:
        return skipped(f"nothing is known of the link that {profile.title} gives", subject=card.bdf)
    chain = _chain(evidence, card)
    if len(chain) == 1:
        return _without_port(card)
    limits = _limits(chain)
    speed, width = _least_speed(limits), _least_width(limits)
    if (profile.link.speed or 0) > speed or (profile.link.width or 0) > width:
        return warned(
            about=card.bdf,
            where=card.bdf,
            allowed=_words(speed, width),
            carrier=profile.title,
            expected=_words(profile.link.speed, profile.link.width),
            limits=_limits_words(limits),
            advice=profile.advice,
        )
    _refuse_guess(chain)
    return passed(f"The path to {card.bdf} allows {_words(speed, width)}.", subject=card.bdf)


def _chain(evidence: Evidence, card: PciFunction) -> tuple[PciFunction, ...]:
    """Bridges above the card, root port first, and the card itself."""
    known = {function.bdf: function for function in evidence.pci}
    missing = [bdf for bdf in card.path if bdf not in known]
    if missing:
        raise CannotLook(f"nothing is known of the port {missing[0]} above {card.bdf}")
    return (*(known[bdf] for bdf in card.path), card)


def _hops(chain: tuple[PciFunction, ...]) -> list[tuple[PciFunction, PciFunction]]:
    """Both ends of each link, from the root port down.

    A switch's upstream and downstream port are joined inside the chip, so links are every second pair; counted
    from the card, because a root port may sit below something that is no port.
    """
    ends = range(len(chain) - 1, 0, -2)
    return [(chain[end - 1], chain[end]) for end in reversed(ends)]


def _now(upper: PciFunction, lower: PciFunction) -> tuple[float, int]:
    speed = lower.current_speed if lower.current_speed is not None else upper.current_speed
    width = lower.current_width if lower.current_width is not None else upper.current_width
    if speed is None or width is None:
        raise CannotLook(f"the state of the link to {lower.bdf} could not be read", _LOOK_AT_SYSFS.format(lower.bdf))
    return speed, width


def _limits(chain: tuple[PciFunction, ...]) -> list[_Limit]:
    return [_Limit(function.bdf, function.max_speed, function.max_width) for function in chain]


def _carrier_limit(evidence: Evidence) -> _Limit:
    profile = carrier(evidence.settings.carrier)
    return _Limit(profile.title, profile.link.speed, profile.link.width)


def _least_speed(limits: list[_Limit]) -> float:
    return _least([limit.speed for limit in limits if limit.speed is not None])


def _least_width(limits: list[_Limit]) -> int:
    return _least([limit.width for limit in limits if limit.width is not None])


def _least(known: list[_Number]) -> _Number:
    if not known:
        raise CannotLook("no port on the way to the card says what it allows", _LOOK_AT_SYSFS.format("<address>"))
    return min(known)


def _refuse_guess(chain: tuple[PciFunction, ...]) -> None:
    """Do not judge by the other limits where a port does not state its own: it may be the narrowest."""
    for function in chain:
        if function.max_speed is None or function.max_width is None:
            raise CannotLook(f"what {function.bdf} allows could not be read", _LOOK_AT_SYSFS.format(function.bdf))


def _without_port(card: PciFunction) -> Outcome:
    now = _words(card.current_speed, card.current_width) if card.current_width else ""
    return skipped(f"no port above {card.bdf} is visible (a virtual machine?)", subject=card.bdf, brief=now)


def _limits_words(limits: list[_Limit]) -> str:
    known = [limit for limit in limits if limit.speed is not None or limit.width is not None]
    return ", ".join(f"{limit.name} up to {_words(limit.speed, limit.width)}" for limit in known)


def _words(speed: float | None, width: int | None) -> str:
    parts = [f"{speed:g} GT/s" if speed is not None else "", f"x{width}" if width is not None else ""]
    return " ".join(part for part in parts if part)
