"""Checks of who can open the card and the DMA heap, and whether somebody already has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metis_provision.catalog.contract import contract
from metis_provision.checks.evidence import LOOK_AGAIN, CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.settings import WhenBusy
from metis_provision.model.survey import Attempt, Node, Section

checks = Checks()

MEMBER = "member"
"""Who an attempt is made as: an account with no group but the one asked for."""
OUTSIDER = "outsider"
"""Who an attempt is made as: an account in no group of ours."""

# The kernel checks permissions before it asks the driver, so whoever is told "busy" was let in.
_LET_IN = {"ok", "busy"}
_REFUSED = "denied"
_NO_NODE = "no card has a node (METIS-301)"


@checks.answers("METIS-310")
def members_can_open(evidence: Evidence) -> Iterator[Outcome]:
    """An account of the group can open each node."""
    if not evidence.card_nodes:
        yield skipped(_NO_NODE)
    for bdf, node in evidence.card_nodes:
        yield _may_open(evidence, MEMBER, node, about=bdf)


@checks.answers("METIS-311")
def service_users_can_open(evidence: Evidence) -> Iterator[Outcome]:
    """Each service user that exists can open each node."""
    evidence.need(Section.ACCOUNTS)
    users = [user for user in evidence.settings.service_users if user in evidence.survey.users]
    if not users:
        yield skipped("none of the service users exists on this host")
    elif not evidence.card_nodes:
        yield skipped(_NO_NODE)
    else:
        for user in users:
            for _, node in evidence.card_nodes:
                yield _may_open(evidence, user, node, about=user)


@checks.answers("METIS-312")
def outsiders_cannot_open(evidence: Evidence) -> Iterator[Outcome]:
    """An account outside the group is refused at each node."""
    if not evidence.card_nodes:
        yield skipped(_NO_NODE)
    for subject, node in evidence.card_nodes:
        attempt = _attempt(evidence.attempts, OUTSIDER, node.path)
        if attempt is not None and attempt.result in _LET_IN:
            yield failed(about=subject, short="open to all", group=evidence.settings.group, node=node.path)
        elif attempt is not None and attempt.result == _REFUSED:
            yield passed(f"A user outside {evidence.settings.group} is refused at {node.path}.", subject=subject)
        else:
            yield _not_tried(attempt, OUTSIDER, node.path, subject)


@checks.answers("METIS-320")
def card_free(evidence: Evidence) -> Iterator[Outcome]:
    """No other process holds a card."""
    answer = failed if evidence.settings.when_busy is WhenBusy.FAIL else warned
    for node, holder in evidence.holders:
        who = f"{holder.command} (process {holder.pid} of {holder.user})"
        yield answer(about=node.path, short="busy", node=node.path, holder=who)
    if not all(node.holders_known for _, node in evidence.card_nodes):
        raise CannotLook("only root can see who holds a card", "Verify again as root (pyinfra's --sudo).")
    if not evidence.holders:
        yield passed("No process holds a card.")


@checks.answers("METIS-330")
def dma_heap_there(evidence: Evidence) -> Iterator[Outcome]:
    """There is a DMA heap for the runtime."""
    if evidence.dma_heap is not None:
        yield passed(f"{evidence.dma_heap.path} is there.")
        return
    kernel = evidence.survey.running_kernel
    why = ""
    if kernel is not None and kernel.dmabuf_heaps is False:
        why = f": {kernel.release} was built without CONFIG_DMABUF_HEAPS_SYSTEM"
    yield failed(short="no DMA heap", path=contract().sysfs.dma_heap, why=why)


@checks.answers("METIS-331")
def dma_heap_usable(evidence: Evidence) -> Iterator[Outcome]:
    """Those who use the card can open the DMA heap too."""
    heap = evidence.dma_heap
    if heap is None:
        yield skipped("there is no DMA heap (METIS-330)")
        return
    tried = [attempt for attempt in evidence.attempts if attempt.node == heap.path and attempt.who != OUTSIDER]
    # Service users may come in by another group, such as video on a Raspberry Pi, which a bare member is not in.
    users = [attempt for attempt in tried if attempt.who != MEMBER]
    for attempt in users or tried:
        if attempt.result in {*_LET_IN, _REFUSED}:
            yield _heap_opened(attempt, heap)
        else:
            yield _not_tried(attempt, attempt.who, heap.path, attempt.who)
    if not tried:
        raise CannotLook(f"nobody tried to open {heap.path}")


def _heap_opened(attempt: Attempt, heap: Node) -> Outcome:
    who = _named(attempt.who, begins=True)
    if attempt.result in _LET_IN:
        return passed(f"{who} can open {heap.path}.", subject=attempt.who)
    return failed(about=attempt.who, short="DMA heap", who=who, path=heap.path, detail=_detail(attempt.detail, heap))


def _may_open(evidence: Evidence, who: str, node: Node, *, about: str) -> Outcome:
    attempt = _attempt(evidence.attempts, who, node.path)
    if attempt is None or attempt.result not in {*_LET_IN, _REFUSED}:
        return _not_tried(attempt, who, node.path, about)
    if attempt.result == _REFUSED:
        detail = _detail(attempt.detail, node)
        group = evidence.settings.group
        return failed(about=about, short="refused", user=who, group=group, node=node.path, detail=detail)
    note = f" ({attempt.detail})" if attempt.detail else ""
    return passed(f"{_named(who, begins=True)} can open {node.path}{note}.", subject=about, brief="group only")


def _attempt(attempts: Iterable[Attempt], who: str, node: str) -> Attempt | None:
    """Return the try that says most: one that was let in before any other, so that no refusal hides it."""
    tried = [attempt for attempt in attempts if (attempt.who, attempt.node) == (who, node)]
    return next((attempt for attempt in tried if attempt.result in _LET_IN), tried[0] if tried else None)


def _not_tried(attempt: Attempt | None, who: str, path: str, subject: str) -> Outcome:
    why = f": {attempt.result} {attempt.detail}".rstrip() if attempt is not None else ""
    return unknown(
        f"opening {path} as {_named(who)} was not tried or did not come to an answer{why}", LOOK_AGAIN, subject=subject
    )


def _named(who: str, *, begins: bool = False) -> str:
    named = {MEMBER: "a member of the group", OUTSIDER: "a user outside the group"}.get(who)
    if named is None:
        return who
    return named.capitalize() if begins else named


def _detail(words: str, node: Node) -> str:
    return f"{words or 'permission denied'} ({node.owner}:{node.group} {node.mode})"
