"""The table of faults: whole, bound to checks that exist, refused where it breaks its own rules."""

from __future__ import annotations

import pytest

from metis_provision.checks.catalogue import catalogue
from metis_provision.lab.card.faults import BEHAVIOURS
from metis_provision.lab.faults import Heals, Side, fault_called, faults, read_faults
from metis_provision.model.errors import UserError
from metis_provision.model.settings import Settings

WHOLE = {
    "side": "host",
    "description": "Something is gone.",
    "look": "ls",
    "shows": "gone",
    "codes": ["METIS-101"],
    "heals": "switch-off",
    "begin": "true",
    "end": "true",
}


@pytest.mark.parametrize("fault", faults().values(), ids=faults())
def test_a_fault_leads_to_checks_that_exist_and_asks_for_settings_that_exist(fault):
    assert set(fault.codes) <= catalogue().keys()
    assert fault.settings.keys() <= Settings.model_fields.keys()
    assert fault.description.endswith(".")


def test_what_runs_in_every_test_run_needs_no_deploy_and_no_reboot():
    quick = [fault for fault in faults().values() if fault.quick]
    assert {fault.side for fault in quick} == set(Side)
    assert {fault.heals for fault in quick} == {Heals.SWITCH_OFF}


def test_every_behaviour_of_the_card_is_in_the_table():
    assert {name for name, fault in faults().items() if fault.is_the_cards_own} == BEHAVIOURS.keys()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"end": None}, "begin and end belong together"),
        ({"switch": "power"}, "switched in one way"),
        ({"begin": None, "end": None}, "switched in one way"),
        ({"shows": "("}, "no regular expression"),
        ({"codes": []}, "look, shows and codes"),
        ({"look": None}, "look, shows and codes"),
        ({"heals": "manual"}, "where heals is manual"),
        ({"manual": "Do it."}, "where heals is manual"),
        ({"side": "moon"}, "'card' or 'host'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_row_that_breaks_its_own_rules(changes, why):
    assert read_faults({"a-fault": WHOLE})
    with pytest.raises(ValueError, match=why):
        read_faults({"a-fault": WHOLE | changes})


def test_what_the_card_does_itself_is_on_its_side():
    with pytest.raises(ValueError, match="on the card's side"):
        read_faults({"hang": {key: value for key, value in WHOLE.items() if key not in {"begin", "end"}}})


def test_a_name_that_is_no_faults_name():
    with pytest.raises(ValueError, match="name"):
        read_faults({"A fault": WHOLE})


def test_no_fault_of_that_name():
    with pytest.raises(UserError, match=r"No fault is called 'meltdown': metis-provision lab fault --list"):
        fault_called("meltdown")


def test_what_a_tool_complains_of_comes_before_its_status():
    fault = fault_called("read-only-etc")
    assert fault.is_shown_by("touch: cannot touch '/etc/metis-lab-write': Read-only file system\nstatus 1\n")
    assert not fault.is_shown_by("status 0\n")
