"""What checks look at: a host's settings, survey and desired state, and the one way to ask the survey."""

from __future__ import annotations

from dataclasses import dataclass

from metis_provision.catalog.contract import IdKind, PciId, contract
from metis_provision.checks.levels import seconds_allowed
from metis_provision.model.artifact import DesiredState
from metis_provision.model.settings import Settings
from metis_provision.model.survey import (
    Attempt,
    CommandResult,
    DkmsBuild,
    Driver,
    Holder,
    Host,
    Kernel,
    Node,
    Past,
    PciFunction,
    Section,
    Survey,
)

LOOK_AGAIN = (
    "Verify again; if it is still missing, run the survey on the host as root and read what it complains about."
)
MORE_TIME = "See what slows the host down, or give verification more time (metis_verify_seconds), and verify again."

_BRIDGE_CLASSES = ("0604", "0609")
_CARD_KINDS = {IdKind.METIS, IdKind.DOCUMENTED, IdKind.EMULATOR}


class CannotLook(Exception):
    """The evidence for a check is missing; the check is unknown. ``next_step`` says how to get it.

    ``power_cycle``: the card may be hung so that only taking the power away helps.
    """

    def __init__(self, missing: str, next_step: str = LOOK_AGAIN, *, power_cycle: bool = False) -> None:
        super().__init__(missing)
        self.next_step = next_step
        self.power_cycle = power_cycle


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known about one host.

    The properties raise ``CannotLook`` where the survey did not look, so that no check mistakes a missing
    section for an empty one.
    """

    settings: Settings
    survey: Survey
    desired: DesiredState

    def need(self, section: Section) -> None:
        """Raise ``CannotLook`` unless this section of the survey arrived whole."""
        if section in self.survey.late:
            raise CannotLook(
                f"the time allowed ({seconds_allowed(self.settings)} s) was over before '{section}' was done", MORE_TIME
            )
        if section not in self.survey.sections:
            raise CannotLook(f"the survey has no section '{section}'")

    @property
    def host(self) -> Host:
        """System, machine and clock."""
        self.need(Section.HOST)
        return self.survey.host

    @property
    def running_kernel(self) -> Kernel:
        """The kernel in memory."""
        self.need(Section.KERNELS)
        kernel = self.survey.running_kernel
        if kernel is None:
            raise CannotLook("the survey does not say which kernel is running")
        return kernel

    @property
    def other_kernels(self) -> tuple[Kernel, ...]:
        """Kernels on disk that neither run nor boot next."""
        self.need(Section.KERNELS)
        following = self.survey.next_kernel
        return tuple(kernel for kernel in self.survey.kernels if not kernel.running and kernel != following)

    @property
    def kernels_to_boot(self) -> tuple[Kernel, ...]:
        """The kernel that boots next, or every kernel on disk where that is not known."""
        self.need(Section.KERNELS)
        known = self.survey.next_kernel
        return (known,) if known is not None else self.survey.kernels

    @property
    def pci(self) -> tuple[PciFunction, ...]:
        """Accelerators and the bridges above them, by address."""
        self.need(Section.PCI)
        if self.survey.pci is None:
            raise CannotLook("the PCI bus could not be read")
        return tuple(sorted(self.survey.pci, key=lambda function: function.bdf))

    @property
    def present(self) -> tuple[PciFunction, ...]:
        """Functions whose id is that of a Metis, whether or not they still answer."""
        return tuple(f for f in self.pci if (known := identify(f)) is not None and known.kind in _CARD_KINDS)

    @property
    def cards(self) -> tuple[PciFunction, ...]:
        """Metis functions that answer."""
        return tuple(function for function in self.present if not function.config_reads_ff)

    @property
    def unstarted(self) -> tuple[PciFunction, ...]:
        """Functions that show what a Metis shows when its firmware never started."""
        return tuple(f for f in self.pci if (known := identify(f)) is not None and known.kind is IdKind.UNSTARTED)

    @property
    def driver(self) -> Driver:
        """The driver in memory."""
        self.need(Section.DRIVER)
        if self.survey.driver is None:
            raise CannotLook("the state of the driver could not be read")
        return self.survey.driver

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the card's classes."""
        self.need(Section.NODES)
        if self.survey.nodes is None:
            raise CannotLook("the device nodes could not be read")
        return self.survey.nodes

    @property
    def card_nodes(self) -> tuple[tuple[str, Node], ...]:
        """Nodes that belong to a card on the bus, each after its card's address."""
        return tuple((card.bdf, node) for card in self.cards for node in self.nodes if node.bdf == card.bdf)

    @property
    def dma_heap(self) -> Node | None:
        """The DMA heap's node, None if the host has none."""
        self.need(Section.NODES)
        return self.survey.dma_heap

    @property
    def past(self) -> Past:
        """What other tools and older hands left."""
        self.need(Section.PAST)
        if self.survey.past is None:
            raise CannotLook("what others left on the host could not be read")
        return self.survey.past

    @property
    def dkms(self) -> tuple[DkmsBuild, ...] | None:
        """What DKMS says, None if it is not installed."""
        self.need(Section.DKMS)
        return self.survey.dkms

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Tries to open the nodes."""
        self.need(Section.ACCESS)
        return self.survey.attempts

    @property
    def holders(self) -> tuple[tuple[Node, Holder], ...]:
        """Every process that has a card's node open."""
        return tuple((node, holder) for _, node in self.card_nodes for holder in node.holders)

    @property
    def devices(self) -> CommandResult:
        """What ``axdevice`` printed."""
        self.need(Section.DEVICES)
        if self.survey.devices is None:
            raise CannotLook("axdevice was not run")
        return self.survey.devices

    @property
    def self_test(self) -> CommandResult:
        """What the self-test printed."""
        self.need(Section.SELF_TEST)
        if self.survey.self_test is None:
            raise CannotLook("the self-test was not run")
        return self.survey.self_test


def identify(function: PciFunction) -> PciId | None:
    """Return the contract's entry for a function, None for one that is no business of ours.

    A bridge never is: Synopsys' default id, which a Metis shows before its firmware starts, is also the id of
    many boards' own root ports.
    """
    if function.class_code.startswith(_BRIDGE_CLASSES):
        return None
    return contract().identify(int(function.vendor, 16), int(function.device, 16), int(function.class_code, 16))
