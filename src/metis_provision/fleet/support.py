"""Asks one host for everything that support needs: two remote commands, nothing is changed."""

from __future__ import annotations

import getpass
import logging
import socket
from dataclasses import dataclass

from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_host
from pyinfra_cli.log import setup_logging

from metis_provision.checks.levels import without_load
from metis_provision.facts.support import MetisLook, MetisSurveyText
from metis_provision.facts.survey import survey_arguments
from metis_provision.fleet.run import Options, connect, connected
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.model.settings import Settings
from metis_provision.operations.view import host_settings, verification_request
from metis_provision.support.look import Look

_CONNECTION = ("ssh_hostname", "ssh_user")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a host answered; an answer that did not come is empty. ``known`` are names of its and of this machine.

    ``settings`` are the host's, and level medium where they say long: it was asked with these.
    """

    settings: Settings
    survey: tuple[str, ...]
    look: Look
    known_hosts: tuple[str, ...]
    known_users: tuple[str, ...]


def ask(inventory: Inventory, name: str, options: Options) -> Asked:
    """Connect to the host called ``name`` and ask it. UserError if there is no such host or it cannot be reached."""
    state = State()
    setup_logging(logging.WARNING)
    limited = Options(sudo=options.sudo, limit=(name,))
    with connected(state, inventory, limited):
        if connect(state):
            raise UserError(f"{name} cannot be reached, so there is nothing to gather", ExitCode.UNREACHABLE)
        state.set_stage(StateStage.Prepare)
        host = next(host for host in state.active_hosts if host.name == name)
        with ctx_host.use(host):
            return _answers(host)


def _answers(host: Host) -> Asked:
    settings = without_load(host_settings(host))
    survey = host.get_fact(MetisSurveyText, **survey_arguments(verification_request(settings)))
    answer = host.get_fact(MetisLook)
    look = answer if isinstance(answer, Look) else Look()
    data = host.data.dict()
    hostname, user = (str(data.get(key) or "") for key in _CONNECTION)
    return Asked(
        settings,
        tuple(survey or ()),
        look,
        tuple(filter(None, (_plain(host.name), hostname, *look.hosts, socket.gethostname()))),
        tuple(filter(None, (user, *look.users, *_own_user()))),
    )


def _plain(name: str) -> str:
    """A host's name without pyinfra's connector before it."""
    return name.partition("/")[2] if name.startswith("@") else name


def _own_user() -> tuple[str, ...]:
    try:
        return (getpass.getuser(),)
    except (KeyError, OSError):  # a container's user may have no name
        return ()
