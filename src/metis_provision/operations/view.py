"""What an operation knows of its host: settings, one survey per stage, and everything computed from the two.

A survey is kept for the operations of one stage and one privilege, and forgotten as soon as a command ran: a view
that outlived a change would report a host that drifted as unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from pyinfra.api.host import Host
from pyinfra.api.state import State

from metis_provision.checks.levels import seconds_allowed, sections_of
from metis_provision.desired.difference import Difference, difference
from metis_provision.desired.state import desired_state, survey_request
from metis_provision.facts import MetisSurvey
from metis_provision.facts.survey import survey_arguments
from metis_provision.model.artifact import DesiredState
from metis_provision.model.receipt import Receipt, read_receipt
from metis_provision.model.settings import Settings
from metis_provision.model.survey import ACTIVE, Survey, SurveyRequest
from metis_provision.operations.connection import is_lost, watch
from metis_provision.supply.runtime import signing_key
from metis_provision.supply.settings import resolved_settings


class SurveyFailed(RuntimeError):
    """The host could not be looked at; it must not be mistaken for one that carries nothing."""


@dataclass(frozen=True)
class View:
    """A host as one stage of a run sees it."""

    settings: Settings
    survey: Survey

    @cached_property
    def desired(self) -> DesiredState:
        """What the host should carry."""
        return desired_state(self.settings, self.survey, signing_key(self.settings))

    @cached_property
    def receipt(self) -> Receipt:
        """What earlier runs did."""
        return read_receipt(self.survey.receipt)

    @cached_property
    def difference(self) -> Difference:
        """What is left to do."""
        return difference(self.settings, self.desired, self.survey, self.receipt)


_Key = tuple[bool, tuple[object, ...]]
_views: WeakKeyDictionary[Host, tuple[_Key, View]] = WeakKeyDictionary()

_PRIVILEGE = ("_sudo", "_sudo_user", "_su_user", "_doas", "_doas_user", "_dzdo", "_dzdo_user")


def host_settings(host: Host) -> Settings:
    """The host's settings from its merged data; UserError with one line per mistake."""
    return resolved_settings(host.data.dict(), where=host.name)


def view_of(state: State, host: Host) -> View:
    """The host as it is now, or as it was a moment ago if nothing ran since. Raises SurveyFailed."""
    arguments: Mapping[str, object] = dict(host.current_op_global_arguments or {})
    key: _Key = (state.is_executing, tuple(arguments.get(name) for name in _PRIVILEGE))
    kept = _views.get(host)
    if kept is not None and kept[0] == key:
        return kept[1]
    settings = host_settings(host)
    view = View(settings, look(host, survey_request(settings)))
    _views[host] = (key, view)
    return view


def fresh_view(host: Host) -> View:
    """Look again, as far as the level of verification goes; kept for nobody. Raises SurveyFailed."""
    settings = host_settings(host)
    return View(settings, look(host, verification_request(settings)))


def verification_request(settings: Settings) -> SurveyRequest:
    """What a verification looks for by the settings' level, and how long it may take."""
    sections = sections_of(settings.verify_level)
    wanted = tuple(section for section in sections if settings.cards or section not in ACTIVE)
    return survey_request(settings, wanted, seconds_allowed(settings))


def forget(host: Host) -> None:
    """A command ran: what is known may be wrong now."""
    _views.pop(host, None)


def look(host: Host, request: SurveyRequest) -> Survey:
    """One survey. Raises SurveyFailed where pyinfra would go on with a default."""
    watch(host)
    found = host.get_fact(MetisSurvey, **survey_arguments(request))
    if is_lost(host):
        raise SurveyFailed("the connection broke while the host was looked at: run again to go on from here")
    if not isinstance(found, Survey):
        raise SurveyFailed("the host could not be surveyed: its answer is shown above")
    return found
