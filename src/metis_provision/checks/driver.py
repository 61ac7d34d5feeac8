"""Checks of the kernel driver: in memory, on disk, in DKMS, and for the kernels the host may boot next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metis_provision.catalog.contract import contract
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import (
    Checks,
    Outcome,
    failed,
    passed,
    per_card,
    skipped,
    warned,
)
from metis_provision.model.artifact import DkmsModule
from metis_provision.model.survey import DkmsBuild, Kernel, PciFunction

checks = Checks()

INSTALLED = {"installed", "installed-weak"}
_NO_CARD = "no card on the bus, so nothing asks for the driver (METIS-101)"
NOT_OURS = "this host's driver does not come from DKMS by this deploy"


@checks.answers("METIS-201")
def driver_loaded(evidence: Evidence) -> Iterator[Outcome]:
    """The module is in memory."""
    if _nothing_to_drive(evidence):
        yield skipped(_NO_CARD)
    elif evidence.driver.loaded:
        yield passed(f"Module {contract().module} is in memory.", brief=evidence.driver.version or "")
    else:
        yield failed(short="not loaded", module=contract().module)


@checks.answers("METIS-202")
def driver_bound(evidence: Evidence) -> Iterator[Outcome]:
    """The driver has taken each card."""
    yield from per_card(evidence, _bound)


@checks.answers("METIS-203")
def version_asked_for(evidence: Evidence) -> Iterator[Outcome]:
    """The version in memory is the one the settings ask for."""
    wanted = evidence.settings.driver_version
    if wanted is None:
        yield skipped("no version is asked for (metis_driver_version)")
    elif _nothing_to_drive(evidence):
        yield skipped(_NO_CARD)
    elif (loaded := _loaded_version(evidence)) == wanted:
        yield passed(f"Version {loaded} is in memory.")
    else:
        yield failed(short=loaded, loaded=loaded, wanted=wanted)


@checks.answers("METIS-204")
def memory_is_disk(evidence: Evidence) -> Iterator[Outcome]:
    """The module in memory is the one on disk for the running kernel."""
    if _nothing_to_drive(evidence):
        yield skipped(_NO_CARD)
        return
    kernel = evidence.running_kernel
    loaded = _loaded_version(evidence)
    if kernel.module_path is None:
        yield failed(short="not on disk", loaded=loaded, disk="no module", kernel=kernel.release)
    elif kernel.module_version is None:
        raise CannotLook(f"the version of {kernel.module_path} could not be read", "Run modinfo on that file.")
    elif evidence.survey.driver_is_stale:
        other = "" if kernel.module_version != loaded else ", built from other sources,"
        yield failed(
            short="reboot needed",
            loaded=loaded,
            disk=f"version {kernel.module_version}{other}",
            kernel=kernel.release,
        )
    else:
        yield passed(f"Version {loaded} is in memory and on disk ({kernel.module_path}).")


@checks.answers("METIS-205")
def options_in_force(evidence: Evidence) -> Iterator[Outcome]:
    """The module in memory was loaded with the options asked for."""
    asked = evidence.desired.module_options
    if not asked:
        yield skipped("no options are asked for")
        return
    if not evidence.driver.loaded:
        yield skipped("the driver is not in memory (METIS-201)")
        return
    unread = [name for name in asked if name not in evidence.driver.parameters]
    if unread:
        raise CannotLook(f"the driver does not show its option {', '.join(unread)}", _READ_OPTIONS)
    other = {name: value for name, value in asked.items() if _parameter(evidence, name) != value}
    if other:
        now = ", ".join(f"{name}={evidence.driver.parameters[name]}" for name in other)
        yield warned(short="options", now=now, wanted=_assigned(other), module=contract().module)
    else:
        yield passed(f"The driver was loaded with {_assigned(asked)}.")


@checks.answers("METIS-210")
def headers_for_running_kernel(evidence: Evidence) -> Iterator[Outcome]:
    """A module can be built for the running kernel."""
    if evidence.desired.dkms is None:
        yield skipped(NOT_OURS)
    elif evidence.running_kernel.headers:
        yield passed(f"The build tree of {evidence.running_kernel.release} is there.")
    else:
        yield failed(short="no headers", kernel=evidence.running_kernel.release)


@checks.answers("METIS-211")
def dkms_installed(evidence: Evidence) -> Iterator[Outcome]:
    """DKMS has installed the version asked for, for the running kernel, as it was built."""
    module = evidence.desired.dkms
    if module is None:
        yield skipped(NOT_OURS)
        return
    kernel = evidence.running_kernel.release
    state = dkms_state(evidence.dkms, module, kernel)
    about = {"module": module.name, "version": module.version, "kernel": kernel}
    if state not in INSTALLED:
        why = failed_build(evidence, kernel)
        yield failed(short="dkms", state=f"{state}; {why}" if why else state, **about)
    elif evidence.running_kernel.module_path is None:
        yield failed(short="dkms", state=f"{state}, says DKMS, but there is no such file", **about)
    elif remark := _difference(evidence.dkms or (), module, kernel):
        yield warned(short="dkms", state=f"{state}, but {remark}", **about)
    else:
        yield passed(f"{module.name}/{module.version} is {state} for {kernel}.")


@checks.answers("METIS-220")
def other_kernels(evidence: Evidence) -> Iterator[Outcome]:
    """The card will still be there after a boot into another installed kernel."""
    others = evidence.other_kernels
    if not others:
        yield skipped("no other kernel is installed")
    for kernel in others:
        trouble = _boot_trouble(evidence, kernel)
        if trouble:
            yield warned(about=kernel.release, short="next boot", kernel=kernel.release, why=trouble)
        else:
            yield passed(f"{kernel.release} has {kernel.module_path}.", subject=kernel.release)


def _nothing_to_drive(evidence: Evidence) -> bool:
    """Whether the driver is away because the card is: some versions of it refuse to load without one."""
    return not evidence.driver.loaded and not evidence.cards


def _bound(evidence: Evidence, card: PciFunction) -> Outcome:
    wanted = contract().pci_driver.value
    if wanted == card.driver or card.bdf in evidence.driver.bound:
        return passed(f"{card.bdf} is bound to {wanted}.", subject=card.bdf)
    return failed(about=card.bdf, short="not bound", where=card.bdf, driver=card.driver or "no driver", wanted=wanted)


def _loaded_version(evidence: Evidence) -> str:
    if evidence.driver.version is None:
        raise CannotLook("the version of the driver in memory could not be read", _READ_VERSION)
    return evidence.driver.version


_READ_OPTIONS = f"Look below /sys/module/{contract().module}/parameters on the host."


def _parameter(evidence: Evidence, name: str) -> int | None:
    """An option's value in memory: sysfs prints numbers, and switches as Y and N."""
    text = {"Y": "1", "N": "0"}.get(evidence.driver.parameters[name], evidence.driver.parameters[name])
    return int(text) if text.lstrip("-").isdecimal() else None


def _assigned(options: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())


_READ_VERSION = f"Read {contract().sysfs.module_version} on the host; a driver without it was not built by DKMS."


def dkms_state(builds: tuple[DkmsBuild, ...] | None, module: DkmsModule, kernel: str) -> str:
    """Return the best state DKMS reports for a kernel, or why there is none."""
    if builds is None:
        return "DKMS is not installed"
    ours = [build for build in builds if (build.module, build.version) == (module.name, module.version)]
    states = [build.state for build in ours if build.kernel == kernel]
    if not states:
        return ", ".join(sorted({build.state for build in ours if build.kernel is None})) or "not known to DKMS"
    return next((state for state in states if state in INSTALLED), states[0])


def _difference(builds: tuple[DkmsBuild, ...], module: DkmsModule, kernel: str) -> str:
    for build in builds:
        if (build.module, build.version, build.kernel) == (module.name, module.version, kernel):
            remark = build.remark or ""
            if "difference" in remark.lower():
                return remark
    return ""


def failed_build(evidence: Evidence, kernel: str) -> str:
    """Why the last build for a kernel failed, in the compiler's words; empty if DKMS left no such log."""
    for build in evidence.survey.failed_builds:
        if build.kernel in (kernel, None) and build.version == (evidence.settings.driver_version or build.version):
            return f"it does not compile: {build.error}"
    return ""


def _boot_trouble(evidence: Evidence, kernel: Kernel) -> str:
    wanted = evidence.settings.driver_version
    if kernel.module_path is None:
        reasons = ["none is installed"]
        reasons += [] if kernel.headers else ["its headers are missing"]
        return ", and ".join([*reasons, *filter(None, [failed_build(evidence, kernel.release)])])
    if kernel.vermagic is not None and kernel.vermagic.split(" ")[0] != kernel.release:
        return f"{kernel.module_path} was built for {kernel.vermagic.split(' ')[0]}"
    if wanted is not None and kernel.module_version not in (None, wanted):
        return f"{kernel.module_path} is version {kernel.module_version}, {wanted} is asked for"
    return ""
