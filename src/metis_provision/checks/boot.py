"""Checks of the boot configuration: it fits the board, is in config.txt, in force, and waits for no reboot."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.catalog.carriers import called, misfit
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, warned
from metis_provision.model.survey import Boot, Section

checks = Checks()

_GENERATION = "dtparam=pciex1_gen="
_PORT = ("dtparam=pciex1", "dtparam=pciex1=on", "dtparam=nvme")
_NOT_OURS = "this host has no config.txt that the deploy keeps lines in"


@checks.answers("METIS-021")
def carrier_fits(evidence: Evidence) -> Iterator[Outcome]:
    """The carrier of the settings can be this host's."""
    name = evidence.settings.carrier
    if evidence.host.container is not None:
        yield skipped("a container says nothing of the board it runs on")
    elif not evidence.host.architecture:
        raise CannotLook("the host does not say which machine it is")
    elif why := misfit(name, evidence.host):
        yield failed(short="wrong carrier", why=why)
    else:
        yield passed(f"'{name}' fits {called(evidence.host)}.")


@checks.answers("METIS-022")
def config_as_wanted(evidence: Evidence) -> Iterator[Outcome]:
    """config.txt puts every line into force, and holds no block of ours that nothing asks for."""
    config = evidence.desired.boot
    if config is None:
        yield skipped(_NOT_OURS)
    elif config.now == config.content:
        yield passed(f"{config.path} has {', '.join(config.lines)}.")
    elif config.lines:
        yield failed(short="config.txt", path=config.path, what=f"does not put {', '.join(config.lines)} into force")
    else:
        yield failed(short="config.txt", path=config.path, what="still holds lines of ours that nothing asks for")


@checks.answers("METIS-023")
def config_in_force(evidence: Evidence) -> Iterator[Outcome]:
    """The running device tree has the external port as config.txt asks for it."""
    config = evidence.desired.boot
    if config is None or not set(config.lines) & set(_PORT):
        yield skipped("config.txt asks for nothing that the running system shows")
        return
    boot = _boot(evidence)
    if config.path in boot.changed or config.now != config.content:
        yield skipped("not before the reboot (METIS-022, METIS-024)")
        return
    generation = next((line.removeprefix(_GENERATION) for line in config.lines if line.startswith(_GENERATION)), None)
    if boot.pcie_enabled is None or (generation is not None and boot.pcie_enabled and boot.pcie_generation is None):
        raise CannotLook(
            "the running device tree does not say how the external PCIe port is set up",
            "Look at the port's node below /proc/device-tree/axi on the host: status and max-link-speed.",
        )
    now = f"generation {boot.pcie_generation}" if boot.pcie_enabled else "the port switched off"
    wanted = f"generation {generation}" if generation else "the port switched on"
    if not boot.pcie_enabled or generation not in (None, str(boot.pcie_generation)):
        yield warned(short="not in force", wanted=wanted, now=now)
    else:
        speed = f", generation {boot.pcie_generation}" if boot.pcie_generation else ""
        yield passed(f"The external PCIe port is on{speed}.")


@checks.answers("METIS-024")
def no_reboot_pending(evidence: Evidence) -> Iterator[Outcome]:
    """What only a boot reads is what this boot has read."""
    boot = _boot(evidence)
    if boot.changed:
        yield warned(short="reboot needed", what=", ".join(boot.changed))
    else:
        yield passed("Nothing that only a boot reads was changed by us since the host booted.")


def _boot(evidence: Evidence) -> Boot:
    evidence.need(Section.BOOT)
    if evidence.survey.boot is None:
        raise CannotLook("what the host boots with could not be read")
    return evidence.survey.boot
