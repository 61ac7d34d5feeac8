"""Checks of the device nodes and the links that lead to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from metis_provision.catalog.contract import contract
from metis_provision.checks.evidence import Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, per_card, skipped
from metis_provision.model.artifact import Validator
from metis_provision.model.survey import PciFunction, RuleLine

checks = Checks()

_ASSIGNMENT = re.compile(r"\b(?:OWNER|GROUP|MODE)\s*(:=|=)(?!=)")
_SPEAKS_OF_CARDS = re.compile(r"metis|axlaipu|\"accel\"|0x1f9d")


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


@checks.answers("METIS-304")
def ours_wins(evidence: Evidence) -> Iterator[Outcome]:
    """Where a node is not as the settings say although our rules are in place, the rules that win are named."""
    settings = evidence.settings
    wanted = ("root", settings.group, settings.node_mode)
    asked = [file.path for file in evidence.desired.files if file.validator is Validator.UDEV_RULES]
    rules = [evidence.desired.node_rules] if evidence.desired.node_rules else asked
    if not evidence.card_nodes or not rules:
        yield skipped("no card has a node (METIS-301)" if rules else "the deploy wants no udev rules on this host")
        return
    winners = _winners(evidence.past.rules, rules[0])
    for bdf, node in evidence.card_nodes:
        if (node.owner, node.group, node.mode) == wanted:
            yield passed(f"{node.path} is what our rules say.", subject=bdf)
        elif winners and node.mode:
            now = f"{node.owner}:{node.group} {node.mode}"
            yield failed(about=bdf, short="other rule", node=node.path, now=now, rules=", ".join(winners))
        else:
            yield skipped(f"{node.path} is not as asked for, and no rule is known that wins over ours", subject=bdf)


def _winners(rules: tuple[RuleLine, ...], ours: str) -> tuple[str, ...]:
    """Files whose assignments to a card's node count instead of those in ``ours``.

    udev reads rule files in the order of their names, the last assignment counts, and ``:=`` allows no later one.
    """
    found = []
    for rule in rules:
        assigned = _ASSIGNMENT.findall(rule.text) if rule.path != ours and _SPEAKS_OF_CARDS.search(rule.text) else []
        later = PurePosixPath(rule.path).name > PurePosixPath(ours).name
        if ":=" in assigned or (assigned and later):
            found.append(rule.path)
    return tuple(dict.fromkeys(found))


def _node_of(evidence: Evidence, card: PciFunction) -> Outcome:
    nodes = [node for bdf, node in evidence.card_nodes if bdf == card.bdf]
    missing = [node.path for node in nodes if not node.mode]
    if nodes and not missing:
        return passed(f"{card.bdf} has {', '.join(node.path for node in nodes)}.", subject=card.bdf)
    detail = f": the kernel has it, but {missing[0]} is missing" if missing else ""
    return failed(about=card.bdf, short="no node", where=card.bdf, detail=detail)
