"""Checks of the PCI bus: the right cards are there, alive, and have addresses."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.catalog.contract import IdKind, contract
from metis_provision.checks.evidence import Evidence, identify
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, per_card, warned
from metis_provision.model.survey import PciFunction

checks = Checks()

_ALPHA = (0x1F9D, 0x11AA)
_KIB = 1024


@checks.answers("METIS-101")
def cards_on_the_bus(evidence: Evidence) -> Iterator[Outcome]:
    """As many live cards as expected; names what was found instead."""
    cards, expected = evidence.cards, evidence.settings.cards
    if len(cards) < expected:
        others = [text for function in evidence.pci if (text := _instead(function))]
        yield failed(
            short=f"{len(cards)} of {expected}",
            found=f"{_count(len(cards))} ({_names(cards)})" if cards else "No card",
            expected=expected,
            others=f"; found instead: {', '.join(others)}" if others else "",
        )
    else:
        yield passed(f"{_count(len(cards))}: {_names(cards)}.", brief=_count(len(cards)))


@checks.answers("METIS-102")
def no_card_too_many(evidence: Evidence) -> Iterator[Outcome]:
    """No more cards than expected."""
    cards, expected = evidence.cards, evidence.settings.cards
    if len(cards) > expected:
        yield warned(
            short=f"{len(cards)} of {expected}",
            found=_count(len(cards)),
            count=len(cards),
            expected=expected,
            where=_names(cards),
        )
    else:
        yield passed("None beyond what is expected.")


@checks.answers("METIS-103")
def none_stuck_before_firmware(evidence: Evidence) -> Iterator[Outcome]:
    """No function shows the default id of a Metis without firmware; it fails a host that misses a card."""
    stuck = evidence.unstarted
    if not stuck:
        yield passed("No function shows the id of a card without firmware.")
    answer = failed if len(evidence.cards) < evidence.settings.cards else warned
    for function in stuck:
        yield answer(about=function.bdf, short="no firmware", where=function.bdf, id=_id(function))


@checks.answers("METIS-104")
def configuration_answers(evidence: Evidence) -> Iterator[Outcome]:
    """No card that was enumerated has left the bus since."""
    gone = [function for function in evidence.present if function.config_reads_ff]
    if not gone:
        yield passed("No card reads 0xff.")
    for function in gone:
        yield failed(about=function.bdf, short="reads 0xff", where=function.bdf)


@checks.answers("METIS-105")
def production_silicon(evidence: Evidence) -> Iterator[Outcome]:
    """Each card is the product, and neither alpha silicon, an emulator nor an id that only documents know."""
    yield from per_card(evidence, _silicon)


@checks.answers("METIS-110")
def windows_have_addresses(evidence: Evidence) -> Iterator[Outcome]:
    """The register and the memory window have addresses."""
    yield from per_card(evidence, _windows)


def _silicon(_: Evidence, card: PciFunction) -> Outcome:
    what = _oddity(card)
    if what:
        return warned(about=card.bdf, short=what, where=card.bdf, id=_id(card), what=what)
    return passed(f"{card.bdf} is {_id(card)}.", subject=card.bdf)


def _oddity(card: PciFunction) -> str:
    known = identify(card)
    if known is None or known.kind is IdKind.DOCUMENTED:
        return "an id that documents give to a Metis and the PCI database to another vendor"
    if known.kind is IdKind.EMULATOR:
        return "an emulator"
    return "alpha silicon" if (known.vendor, known.device) == _ALPHA else ""


def _windows(_: Evidence, card: PciFunction) -> Outcome:
    registers, memory = contract().card.bar0_size.value, contract().card.bar2_size.value
    largest = sorted(card.bars, reverse=True)
    if len(largest) < 2 or largest[0] < memory or largest[1] < registers:
        return failed(
            about=card.bdf,
            short="no window",
            where=card.bdf,
            sizes=_sizes(size for size in card.bars if size),
            wanted=_sizes((registers, memory)),
        )
    return passed(f"{card.bdf} has windows of {_sizes(size for size in card.bars if size)}.", subject=card.bdf)


def _sizes(sizes: Iterator[int] | tuple[int, ...]) -> str:
    shown = [f"{size // _KIB**2} MiB" if size >= _KIB**2 else f"{size // _KIB} KiB" for size in sizes]
    return " and ".join(shown) or "no size at all"


def _instead(function: PciFunction) -> str:
    known = identify(function)
    if known is None:
        return ""
    if known.kind is IdKind.UNSTARTED:
        return f"{function.bdf} {_id(function)} ({known.name})"
    if known.kind is IdKind.FOREIGN:
        return f"{function.bdf} {_id(function)} ({known.name}, which is not a Metis)"
    if function.config_reads_ff:
        return f"{function.bdf} {_id(function)} ({known.name}), which reads 0xff"
    return ""


def _id(function: PciFunction) -> str:
    return f"{function.vendor}:{function.device}"


def _count(number: int) -> str:
    return f"{number} card" if number == 1 else f"{number} cards"


def _names(cards: tuple[PciFunction, ...]) -> str:
    return ", ".join(f"{card.bdf} {_id(card)}" for card in cards)
