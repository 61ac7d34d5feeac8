"""The catalogues of carriers and cards load, and a carrier that is not there is refused with its neighbour's name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from metis_provision.catalog.cards import Card, cards
from metis_provision.catalog.carriers import Carrier, carrier, carriers
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings

NAMES = {
    "generic",
    "x86-slot",
    "rpi5-m2-hat-plus",
    "exaviz-cruiser",
    "rpi5-dual-hat",
    "rk3588",
    "axelera-compute-board",
}


def test_the_carriers_there_are():
    assert set(carriers()) == NAMES
    assert Settings.model_fields["carrier"].default in carriers()


@pytest.mark.parametrize(
    ("name", "speed", "width"),
    [
        ("exaviz-cruiser", 8, 1),
        ("rpi5-dual-hat", 5, 1),
        ("x86-slot", 8, 4),
        ("generic", None, None),
        ("rk3588", 8, None),
    ],
)
def test_the_link_a_carrier_gives(name, speed, width):
    assert (carrier(name).link.speed, carrier(name).link.width) == (speed, width)


def test_every_carrier_has_advice():
    assert all(entry.advice.endswith(".") and entry.title for entry in carriers().values())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("exaviz-cruzer", "did you mean 'exaviz-cruiser'"),
        ("zzz", "there are generic, x86-slot"),
        ("", "there are generic"),
    ],
)
def test_an_unknown_carrier_is_refused(name, hint):
    with pytest.raises(UserError, match=hint):
        carrier(name)


@pytest.mark.parametrize(
    "change", [{"link": {"speed": 0, "width": 1}}, {"link": {"speed": 8}}, {"source": "hearsay"}, {"colour": "red"}]
)
def test_a_carrier_that_makes_no_sense_is_refused(change):
    entry = {"title": "T", "link": {"speed": 8, "width": 1}, "advice": "A.", "notes": "", "source": "field"}
    entry |= {"initramfs": {"content": "none", "reason": "None."}}
    assert Carrier.model_validate(entry)
    with pytest.raises(ValidationError):
        Carrier.model_validate({**entry, **change})


def test_the_cards_there_are():
    assert {(name, card.board, card.aipus) for name, card in cards().items()} == {
        ("m2", "m2", 1),
        ("m2-max", None, 1),
        ("pcie", "pcie", 1),
        ("pcie-4x", "pcie", 4),
        ("compute-board", "metis-compute-board", 1),
    }
    assert all((card.cores, card.clock_mhz, card.peak_tops) == (4, 800, 214) for card in cards().values())


@pytest.mark.parametrize("change", [{"aipus": 0}, {"cores": 0}, {"peak_tops": -1}, {"source": "hearsay"}])
def test_a_card_that_makes_no_sense_is_refused(change):
    entry = cards()["m2"].model_dump()
    assert Card.model_validate(entry)
    with pytest.raises(ValidationError):
        Card.model_validate({**entry, **change})
