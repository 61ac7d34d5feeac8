"""Checks of the device nodes and the links that lead to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from metis_provision.catalog.contract import contract
from metis_provision.checks.evidence import Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, per_card, skipped
from metis_provision.model.survey import PciFunction

checks = Checks()


@checks.answers("METIS-301")
def node_per_card(evidence: Evidence) -> Iterator[Outcome]:
    """Each card has a node."""
    yield from per_card(evidence, _node_of)


@checks.answers("METIS-302")
def owner_group_mode(evidence: Evidence) -> Iterator[Outcome]:
    """Each node has root, the group and the mode of the settings."""
    settings = evidence.settings
    if not evidence.card_nodes:
        yield skipped("no card has a node (METIS-301)")
    for bdf, node in evidence.card_nodes:
        now, wanted = f"{node.owner}:{node.group} {node.mode}", f"root:{settings.group} {settings.node_mode}"
        if not node.mode:
            yield skipped(f"{node.path} is not there (METIS-301)", subject=bdf)
        elif now == wanted:
            yield passed(f"{node.path} is {now}.", subject=bdf, brief=now)
        else:
            yield failed(about=bdf, short=now, node=node.path, now=now, wanted=wanted)


@checks.answers("METIS-303")
def stable_links(evidence: Evidence) -> Iterator[Outcome]:
    """The links /dev/axelera0 and so on, one for each card, lead to one node each."""
    nodes = evidence.card_nodes
    if not evidence.cards:
        yield skipped("no card on the bus (METIS-101)")
    for index in range(len(evidence.cards)):
        link = PurePosixPath("/dev") / contract().nodes.stable.template.format(index=index)
        targets = [node.path for _, node in nodes if str(link) in node.links]
        if len(targets) == 1:
            yield passed(f"{link} leads to {targets[0]}.", subject=str(link))
        else:
            what = f"leads to {' and '.join(targets)}" if targets else "does not lead to the node of a card"
            yield failed(about=str(link), short="no link", link=link, what=what)


def _node_of(evidence: Evidence, card: PciFunction) -> Outcome:
    nodes = [node for bdf, node in evidence.card_nodes if bdf == card.bdf]
    missing = [node.path for node in nodes if not node.mode]
    if nodes and not missing:
        return passed(f"{card.bdf} has {', '.join(node.path for node in nodes)}.", subject=card.bdf)
    detail = f": the kernel has it, but {missing[0]} is missing" if missing else ""
    return failed(about=card.bdf, short="no node", where=card.bdf, detail=detail)
