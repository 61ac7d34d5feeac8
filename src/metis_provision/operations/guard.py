"""Keeps one host's trouble on that host: every operation's generator runs inside this guard."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import update_wrapper
from typing import Any

from paramiko import SSHException
from pyinfra import logger
from pyinfra.api import operation
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import FileUploadCommand, FunctionCommand, PyinfraCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from metis_provision.model.errors import UserError
from metis_provision.model.text import literal
from metis_provision.operations import commands
from metis_provision.operations.connection import is_lost
from metis_provision.operations.harmless import make_echo_harmless
from metis_provision.operations.outcome import outcome_of
from metis_provision.operations.view import SurveyFailed, View, forget, view_of

_OURS = "metis-provision: "
_BROKE = "the connection broke ({}): run again to go on from here"

Step = Generator[PyinfraCommand, None, None]


def guarded(function: Callable[[], Step]) -> Callable[..., OperationMeta]:
    """Make an operation of ``function`` whose exceptions become a failing command of the host they concern.

    pyinfra stops the whole run on an exception.
    """

    def inside() -> Step:
        state, host = ctx_state.get(), ctx_host.get()
        try:
            for command in function():
                yield command
                if state.is_executing:
                    forget(host)
        except (Refused, UserError, SurveyFailed) as error:
            yield from _refused(state, host, str(error))
        except Exception as error:
            logger.debug("unexpected error", exc_info=True)
            yield from _refused(state, host, f"unexpected {type(error).__name__} in {function.__name__}: {error}")

    update_wrapper(inside, function, updated=())
    del inside.__wrapped__  # type: ignore[attr-defined]
    return operation()(inside)


def step(function: Callable[[View], Step]) -> Callable[..., OperationMeta]:
    """Make a guarded operation of ``function``, which gets the host's view and yields what the difference asks for.

    A host with blockers gets no step: preflight says why, or this one if they came up since.
    """

    def with_view() -> Step:
        state, host = ctx_state.get(), ctx_host.get()
        view = view_of(state, host)
        if state.is_executing and any(job.running for job in view.survey.jobs.values()):
            # Wanted or not, nothing is done beside it: it may be at the package manager or at the module's files.
            yield run(commands.wait_command(), "", visible=True)
            view = view_of(state, host)
        if not view.desired.blockers:
            yield from function(view)
        elif state.is_executing:
            raise Refused("\n".join(view.desired.blockers))

    return guarded(update_wrapper(with_view, function, updated=()))


class Refused(Exception):
    """This host goes no further; the text says why, one reason a line."""


def run(command: str, stdin: str, visible: bool = False) -> FunctionCommand:
    """A shell command with its input on standard input: one channel, nothing in /tmp or the process list.

    ``visible`` prints its output as it comes.
    """
    return FunctionCommand(_run, (command, stdin, visible), {})


def upload(source: str, destination: str) -> FileUploadCommand:
    """Send a payload; whoever uses it there checks its digest."""
    return FileUploadCommand(source, destination)


def _refused(state: State, host: Host, message: str) -> Step:
    """Say it at once while planning; while executing, fail the host with a command that runs nothing on it."""
    if not state.is_executing:
        report(state, host, message)
    yield FunctionCommand(_refuse, (message,), {})


def _refuse(state: State, host: Host, message: str) -> bool:
    report(state, host, message)
    return False


def _run(state: State, host: Host, command: str, stdin: str, visible: bool) -> bool:
    arguments: dict[str, Any] = {
        key: value for key, value in (host.current_op_global_arguments or {}).items() if key in CONNECTOR_ARGUMENT_KEYS
    }
    if stdin:
        arguments["_stdin"] = stdin
    shown = visible or state.print_output
    if shown:
        make_echo_harmless()
    try:
        status, output = host.run_shell_command(command, print_output=shown, print_input=state.print_input, **arguments)
    except (OSError, EOFError, SSHException) as error:
        report(state, host, _BROKE.format(error or type(error).__name__))
        return False
    if not status and is_lost(host):
        report(state, host, _BROKE.format("the host no longer answers"))
    elif not status:
        lines = [line for line in output.stderr_lines if line.strip()] or output.stdout_lines
        if not shown:
            for line in lines:
                logger.error("%s%s", host.print_prefix, literal(line))
        report(state, host, _why(lines))
    return bool(status)


def _why(lines: list[str]) -> str:
    """The first sentence a script of ours said, or else the last line of all."""
    ours = [line for line in lines if line.startswith(_OURS)]
    return (ours or lines[-1:] or ["the command said nothing"])[0].removeprefix(_OURS)


def report(state: State, host: Host, message: str) -> None:
    """Say why a host stops, and keep it for its row of the table."""
    for line in message.splitlines():
        logger.error("%s%s", host.print_prefix, literal(line))
    outcome_of(state).reason(host, message)
