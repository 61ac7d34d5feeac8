"""What became of each host in a run: its verdict, or why it never got one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from weakref import WeakKeyDictionary

from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State, StateStage

from metis_provision.model.artifact import Concern
from metis_provision.model.verdict import Verdict


class Outcome(BaseStateCallback):
    """One per run: each host's plan, and its verdict or the reason why it has none."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._plans: dict[str, dict[Concern, tuple[str, ...]]] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._reasons: dict[str, str] = {}

    def plan(self, host: Host, concern: Concern, reasons: tuple[str, ...]) -> None:
        """Record what would be done to a host."""
        self._plans.setdefault(host.name, {})[concern] = reasons

    def verdict(self, host: Host, verdict: Verdict) -> None:
        """Record what verification said."""
        self._verdicts[host.name] = verdict

    def reason(self, host: Host, reason: str) -> None:
        """Record why a host stopped; the first reason stays, later ones follow from it."""
        self._reasons.setdefault(host.name, reason)

    def operation_host_error(  # type: ignore[override] # pyinfra declares it static and calls it bound
        self,
        state: State,
        host: Host,
        op_hash: str,
        retry_count: int = 0,  # noqa: ARG002 - pyinfra's signature
        max_retries: int = 0,  # noqa: ARG002
    ) -> None:
        """Give a host whose command failed a reason, if nothing better is known."""
        names = ", ".join(sorted(state.get_op_meta(op_hash).names))
        self.reason(host, f"failed in: {names}")

    @property
    def executed(self) -> bool:
        """Whether operations were executed, or only planned."""
        return self._state.current_stage >= StateStage.Execute

    @property
    def any_failed(self) -> bool:
        """Whether a host stopped, or was verified and is not as wanted."""
        return bool(self._reasons) or any(not verdict.ok for verdict in self._verdicts.values())

    @property
    def any_pending(self) -> bool:
        """Whether changes were planned and not executed."""
        return bool(self._plans) and not self.executed

    def plans(self) -> Iterator[tuple[str, Mapping[Concern, tuple[str, ...]], str]]:
        """One row a host: name, what would be done by concern, and why nothing can be done, if so."""
        for host in self._hosts():
            yield host.name, self._plans.get(host.name, {}), self._reasons.get(host.name, self._silence(host))

    def rows(self) -> Iterator[tuple[str, Verdict | None, str]]:
        """One row a host: name, verdict if any, reason if none."""
        for host in self._hosts():
            verdict = self._verdicts.get(host.name)
            reason = "" if verdict else self._reasons.get(host.name) or self._silence(host) or "not verified"
            yield host.name, verdict, reason

    @property
    def left_out(self) -> tuple[str, ...]:
        """Hosts of the inventory that the run does not look at (``--limit``)."""
        return tuple(host.name for host in self._state.inventory if not self._state.is_host_in_limit(host))

    def _hosts(self) -> Iterator[Host]:
        return (host for host in self._state.inventory if self._state.is_host_in_limit(host))

    def _silence(self, host: Host) -> str:
        return "" if host in self._state.activated_hosts else "unreachable"


_outcomes: WeakKeyDictionary[State, Outcome] = WeakKeyDictionary()


def outcome_of(state: State) -> Outcome:
    """The one outcome of ``state``, made and registered on first use."""
    if state not in _outcomes:
        _outcomes[state] = Outcome(state)
        state.add_callback_handler(_outcomes[state])
    return _outcomes[state]
