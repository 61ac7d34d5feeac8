"""Restarts a host and proves it: the operator's commands around it, a bounded wait, another boot id at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any
from weakref import WeakKeyDictionary

from gevent.lock import BoundedSemaphore
from paramiko import SSHException
from pyinfra import logger
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import clear_askpass_cache, remove_any_sudo_askpass_file

from metis_provision.model.settings import Settings
from metis_provision.operations import commands
from metis_provision.operations.connection import watch
from metis_provision.operations.guard import report

POLL_SECONDS = 2
ANSWER_SECONDS = 20
"""How long a host that lets us in may take to say its boot id: one that is going down may never answer."""
SETTLE_SECONDS = 120
"""How long a host that is back may go on starting services before it is looked at."""


class RebootFailed(Exception):
    """The host was not restarted, or is not known to be back; the text says which and what to do."""


class Turns:
    """Who may restart now, in one run: so many hosts at once, and nobody any more once one did not come back."""

    def __init__(self) -> None:
        self._places: dict[int, BoundedSemaphore] = {}
        self._lost = ""

    @contextmanager
    def one(self, name: str, at_once: int) -> Iterator[None]:
        """Wait for a turn and hold it. Raises RebootFailed when an earlier host was lost."""
        with self._places.setdefault(at_once, BoundedSemaphore(at_once)):
            if self._lost:
                raise RebootFailed(f"not rebooted, because {self._lost} did not come back: look there, then run again")
            try:
                yield
            except Lost:
                self._lost = name
                raise


class Lost(RebootFailed):
    """A host that was told to restart and is not back in service."""


_turns: WeakKeyDictionary[State, Turns] = WeakKeyDictionary()


def restart(settings: Settings, boot_id: str | None) -> FunctionCommand:
    """Restart a host whose present boot is ``boot_id``."""
    return FunctionCommand(_restart, (settings, boot_id), {})


def _restart(state: State, host: Host, settings: Settings, boot_id: str | None) -> bool:
    try:
        with _turns.setdefault(state, Turns()).one(host.name, settings.reboots_at_once):
            _in_turn(host, settings, boot_id)
    except RebootFailed as failure:
        report(state, host, str(failure))
        return False
    return True


def _in_turn(host: Host, settings: Settings, boot_id: str | None) -> None:
    if boot_id is None:
        raise RebootFailed("does not say its boot id, so a reboot could not be proven: reboot it yourself")
    if not isinstance(host.connector, SSHConnector):
        raise RebootFailed("needs a reboot, and only hosts reached by ssh are rebooted from here: reboot it yourself")
    present = _boot_id(host)
    if present is None:
        raise RebootFailed("could not be asked for its boot id, so a reboot could not be proven: run again")
    if present != boot_id:
        logger.info("%shas been rebooted since it was looked at", host.print_prefix)
        return
    # Before anything is drained: a host that is not told to restart must not be left without its work.
    _run(host, commands.lock_command())
    if settings.reboot_before is not None:
        logger.info("%smetis_reboot_before: %s", host.print_prefix, settings.reboot_before)
        run_hook("metis_reboot_before", settings.reboot_before, host.name, settings.reboot_timeout)
    logger.info("%srebooting; at most %s s until it is back", host.print_prefix, settings.reboot_timeout)
    try:
        _let_go_and_reboot(host)
        wait_for_new_boot(lambda: _boot_id(host), boot_id, settings.reboot_timeout)
        _run(host, commands.settled_command(SETTLE_SECONDS))
        if settings.reboot_after is not None:
            logger.info("%smetis_reboot_after: %s", host.print_prefix, settings.reboot_after)
            run_hook("metis_reboot_after", settings.reboot_after, host.name, settings.reboot_timeout)
    except RebootFailed as failure:
        raise Lost(str(failure)) from failure
    logger.info("%sback, with a new boot id", host.print_prefix)


def wait_for_new_boot(
    ask: Callable[[], str | None],
    before: str,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Ask until the answer is another boot id than ``before``. Raises RebootFailed after ``timeout`` seconds."""
    end = clock() + timeout
    answered = False
    while clock() < end:
        pause(POLL_SECONDS)
        now = ask()
        answered = now is not None
        if now not in (None, before):
            return
    if answered:
        raise RebootFailed(f"did not go down within {timeout:g} s of being told to reboot: look at it, then run again")
    raise RebootFailed(
        f"did not come back within {timeout:g} s of being rebooted: look at its console; run again when it is back, "
        "or give it longer with metis_reboot_timeout"
    )


def run_hook(key: str, command: str, host: str, timeout: float) -> None:
    """Run an operator's shell command here with METIS_HOST set. Raises RebootFailed with its output if it fails."""
    with TemporaryFile() as output:  # a pipe would be held open by what the command left running
        process = subprocess.Popen(  # noqa: S602 - the operator's own command line
            command,
            shell=True,
            env={**os.environ, "METIS_HOST": host},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = f"ended with status {code}" if (code := process.wait(timeout)) else ""
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"did not end within {timeout:g} s and was killed"
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace").strip() or "it said nothing"
            raise RebootFailed(f"{key} {status}: {said}")


def _let_go_and_reboot(host: Host) -> None:
    remove_any_sudo_askpass_file(host)
    _run(host, commands.reboot_command())
    clear_askpass_cache(host)
    _drop(host)


def _boot_id(host: Host) -> str | None:
    """What the host says now, once it has come up; None if it cannot be asked."""
    if not host.connected:
        host.connect(show_errors=False)
    if not host.connected:
        return None
    watch(host)
    try:
        said = _run(host, commands.boot_id_command(), _timeout=ANSWER_SECONDS)
    except RebootFailed:
        said = ()
    if not said:
        _drop(host)
        return None
    return said[-1]


def _run(host: Host, command: str, **more: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Lines that ``command`` prints on the host, run as this operation's commands are. Raises RebootFailed."""
    given: Mapping[str, Any] = dict(host.current_op_global_arguments or {})
    arguments: dict[str, Any] = {key: value for key, value in given.items() if key in CONNECTOR_ARGUMENT_KEYS}
    try:
        status, output = host.run_shell_command(command, **{**arguments, **more})
    except (OSError, EOFError, SSHException) as error:
        raise RebootFailed(f"the connection broke ({error or type(error).__name__}): run again") from error
    if not status:
        said = (line.removeprefix("metis-provision: ") for line in output.stderr_lines)
        raise RebootFailed("; ".join(said) or f"the host could not run: {command}")
    return tuple(output.stdout_lines)


def _drop(host: Host) -> None:
    """Close the connection for good: pyinfra's own disconnect leaves the ssh client, and so its session, open."""
    client = getattr(host.connector, "client", None)
    host.disconnect()
    if client is not None:
        client.close()
