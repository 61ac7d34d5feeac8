"""A reboot's parts: the operator's commands, the bounded wait, whose turn it is; and what a run says that needs one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gevent
import pytest

from metis_provision.operations.reboot import POLL_SECONDS, Lost, RebootFailed, Turns, run_hook, wait_for_new_boot


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def wait(answers: list[str | None], timeout: float = 60) -> Clock:
    """Wait for a host that was in boot "old" and answers so, the last answer for ever."""
    said: Iterator[str | None] = iter(answers)
    clock = Clock()
    wait_for_new_boot(lambda: next(said, answers[-1]), "old", timeout, clock, clock.pause)
    return clock


def test_another_boot_id_is_the_proof() -> None:
    assert wait(["old", "old", None, None, "new"]).now == 5 * POLL_SECONDS


def test_a_host_that_stays_up_is_not_taken_for_rebooted() -> None:
    with pytest.raises(RebootFailed, match="did not go down within 60 s"):
        wait(["old"])


@pytest.mark.parametrize("answers", [[None], ["old", None]])
def test_a_host_that_does_not_come_back_is_given_up_within_the_bound(answers: list[str | None]) -> None:
    with pytest.raises(RebootFailed, match=r"did not come back within 60 s.*metis_reboot_timeout"):
        wait(answers)


def test_a_hook_knows_its_host_and_runs_here(tmp_path: Path) -> None:
    run_hook("metis_reboot_before", f'echo "drain $METIS_HOST" >{tmp_path}/said', "pi-kitchen", 60)
    assert (tmp_path / "said").read_text() == "drain pi-kitchen\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo no; echo room >&2; exit 3", "metis_reboot_before ended with status 3: no\nroom"),
        ("exit 1", "metis_reboot_before ended with status 1: it said nothing"),
        ("no-such-command-here", "ended with status 127"),
        ("printf '\\377'; exit 1", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_hook_that_fails_says_why(command: str, words: str) -> None:
    with pytest.raises(RebootFailed) as refusal:
        run_hook("metis_reboot_before", command, "host", 60)
    assert words in str(refusal.value)


def test_a_hook_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    command = f"echo working; (sleep 600; touch {tmp_path}/late) & echo $! >{tmp_path}/child; wait"
    with pytest.raises(RebootFailed, match=r"did not end within 1 s and was killed: working"):
        run_hook("metis_reboot_before", command, "host", 1)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(200):  # a killed process may still have to be scheduled to end
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        gevent.sleep(0.05)
    pytest.fail("what the hook started still runs")


def test_a_hook_may_leave_something_running() -> None:
    run_hook("metis_reboot_after", "sleep 2 &", "host", 60)


@pytest.mark.parametrize("at_once", [1, 2])
def test_so_many_hosts_reboot_at_once_and_no_more(at_once: int) -> None:
    turns, now, most = Turns(), [], []

    def reboot(name: str) -> None:
        with turns.one(name, at_once):
            now.append(name)
            most.append(len(now))
            gevent.sleep(0)
            now.remove(name)

    gevent.joinall([gevent.spawn(reboot, name) for name in "abcde"], raise_error=True)
    assert max(most) == at_once
    assert len(most) == 5


def test_after_a_host_is_lost_no_other_is_rebooted() -> None:
    turns = Turns()
    with pytest.raises(Lost), turns.one("first", 1):
        raise Lost("did not come back")
    with pytest.raises(RebootFailed, match="not rebooted, because first did not come back"), turns.one("second", 1):
        pytest.fail("the second host must not have its turn")


def test_a_host_that_was_not_touched_stops_only_itself() -> None:
    turns = Turns()
    with pytest.raises(RebootFailed), turns.one("first", 1):
        raise RebootFailed("its drain failed")
    with turns.one("second", 1):
        pass


def test_a_connection_made_while_the_host_goes_down_is_watched_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    host = SimpleNamespace(connected=False, current_op_global_arguments={}, disconnect=lambda: None, connector=None)

    def connect(**_: object) -> None:
        host.connected = True
        seen.append("connected")

    def say(*_: object, **__: object) -> tuple[bool, SimpleNamespace]:
        seen.append("asked")
        return True, SimpleNamespace(stdout_lines=["new"])

    host.connect, host.run_shell_command = connect, say
    # The package has an operation of the same name.
    reboot = importlib.import_module("metis_provision.operations.reboot")
    monkeypatch.setattr(reboot, "watch", lambda one: seen.append("watched" if one is host else "another"))
    assert reboot._boot_id(host) == "new"
    assert seen == ["connected", "watched", "asked"]
