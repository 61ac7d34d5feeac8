"""Checks of the next boot: which kernel it brings, and whether the driver will be there for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from metis_provision.catalog.contract import contract
from metis_provision.checks.driver import INSTALLED, NOT_OURS, dkms_state, failed_build
from metis_provision.checks.evidence import CannotLook, Evidence
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown, warned
from metis_provision.model.survey import Kernel
from metis_provision.model.verdict import Answer

checks = Checks()

_NAME_IT = (
    "Look at the boot loader's configuration on the host, and see that every installed kernel has the driver "
    "(METIS-220), or remove those that are not booted."
)


@checks.answers("METIS-230")
def next_kernel_known(evidence: Evidence) -> Iterator[Outcome]:
    """The boot loader's configuration tells which kernel it loads next, and that kernel has modules on disk."""
    if (why := no_kernel_of_its_own(evidence)) is not None:
        yield skipped(why)
        return
    found = evidence.survey.next_boot
    if found is None or found.release is None:
        yield unknown(
            "It is not known which kernel boots next: "
            + (found.source if found else "the survey did not look for a boot loader"),
            _NAME_IT,
            brief="next kernel not known",
        )
    elif found.release not in {kernel.release for kernel in evidence.survey.kernels}:
        yield warned(short="next boot", kernel=found.release, source=found.source)
    else:
        yield passed(f"{found.release} boots next ({found.source}).")


@checks.answers("METIS-231")
def headers_for_next_kernel(evidence: Evidence) -> Iterator[Outcome]:
    """The driver can be built for the kernel that boots next."""
    if evidence.desired.dkms is None:
        yield skipped(NOT_OURS)
    else:
        yield from about_next_kernel(evidence, _headers)


def _headers(evidence: Evidence, kernel: Kernel) -> Outcome:
    if not _on_disk(evidence, kernel):
        return skipped("nothing of that kernel is on disk (METIS-232)", subject=kernel.release)
    if kernel.headers:
        return passed(f"The build tree of {kernel.release} is there.", subject=kernel.release)
    about = {"kernel": kernel.release}
    if kernel.module_path is not None:
        return warned(about=kernel.release, what="the driver is there, but no other can be built", **about)
    return failed(about=kernel.release, short="next boot", what="the driver cannot be built for it", **about)


@checks.answers("METIS-232")
def module_for_next_kernel(evidence: Evidence) -> Iterator[Outcome]:
    """The driver's module lies on disk for the kernel that boots next."""
    yield from about_next_kernel(evidence, _module)


def _module(evidence: Evidence, kernel: Kernel) -> Outcome:
    if kernel.module_path is not None:
        return passed(f"{kernel.module_path} is there.", subject=kernel.release)
    return failed(about=kernel.release, short="next boot", kernel=kernel.release, why=_why_no_module(evidence, kernel))


def _why_no_module(evidence: Evidence, kernel: Kernel) -> str:
    """Tell DKMS's ways to end without a module apart: many of them have exit status 0."""
    if not _on_disk(evidence, kernel):
        return f"there is no /lib/modules/{kernel.release}"
    if why := failed_build(evidence, kernel.release):
        return why
    module = evidence.desired.dkms
    if module is None:
        return "there is no such file below its modules"
    state = dkms_state(evidence.dkms, module, kernel.release)
    if state in INSTALLED:
        return f"DKMS says {module.name}/{module.version} is {state}, but there is no such file"
    missing = "" if kernel.headers else ", and its headers are missing"
    what = f"{module.name}/{module.version} is " if evidence.dkms is not None else ""
    return f"{what}{state}{missing}"


def _on_disk(evidence: Evidence, kernel: Kernel) -> bool:
    return kernel.release in {known.release for known in evidence.survey.kernels}


@checks.answers("METIS-233")
def version_for_next_kernel(evidence: Evidence) -> Iterator[Outcome]:
    """The module of the kernel that boots next has the version asked for."""
    if evidence.settings.driver_version is None:
        yield skipped("no version is asked for (metis_driver_version)")
    else:
        yield from about_next_kernel(evidence, _version)


def _version(evidence: Evidence, kernel: Kernel) -> Outcome:
    wanted = evidence.settings.driver_version
    if kernel.module_path is None:
        return skipped("there is no module (METIS-232)", subject=kernel.release)
    if kernel.module_version is None:
        return _unread(kernel, "version")
    if kernel.module_version != wanted:
        found = {"path": kernel.module_path, "version": kernel.module_version}
        return failed(about=kernel.release, short="next boot", wanted=wanted, kernel=kernel.release, **found)
    return passed(f"{kernel.module_path} is version {wanted}.", subject=kernel.release)


@checks.answers("METIS-234")
def vermagic_for_next_kernel(evidence: Evidence) -> Iterator[Outcome]:
    """The module of the kernel that boots next was built for that kernel."""
    yield from about_next_kernel(evidence, _vermagic)


def _vermagic(evidence: Evidence, kernel: Kernel) -> Outcome:  # noqa: ARG001 - the kernel says all
    if kernel.module_path is None:
        return skipped("there is no module (METIS-232)", subject=kernel.release)
    if kernel.vermagic is None:
        return _unread(kernel, "vermagic")
    built_for = kernel.vermagic.split(" ")[0]
    # RHEL's weak modules are links to the module of a kernel with the same interface, and its kernels take them.
    if built_for != kernel.release and "/weak-updates/" not in kernel.module_path:
        found = {"path": kernel.module_path, "built_for": built_for}
        return failed(about=kernel.release, short="next boot", kernel=kernel.release, **found)
    return passed(f"{kernel.module_path} was built for {built_for}.", subject=kernel.release)


def _unread(kernel: Kernel, what: str) -> Outcome:
    missing = f"the {what} of {kernel.module_path} could not be read"
    # Without modinfo, or with one that does not know the compression, such a host offers no way to look.
    return unknown(missing, "Run modinfo on that file.", subject=kernel.release, required=False)


def about_next_kernel(evidence: Evidence, judge: Callable[[Evidence, Kernel], Outcome]) -> Iterator[Outcome]:
    """Ask ``judge`` about the kernel that boots next.

    Where nobody can know which that is, all of them are asked: if each is in order the next one is, and if not
    the answer is unknown, and does not decide, because this host offers no way to look.
    """
    if (why := no_kernel_of_its_own(evidence)) is not None:
        yield skipped(why)
        return
    outcomes = [judge(evidence, kernel) for kernel in evidence.kernels_to_boot]
    troubled = [outcome.subject for outcome in outcomes if outcome.answer not in {Answer.PASS, Answer.SKIP}]
    if evidence.survey.next_kernel is not None or not troubled:
        yield from outcomes
    else:
        yield unknown(
            f"it is not in order for {', '.join(troubled)}, and which kernel boots next is not known",
            _NAME_IT,
            required=False,
        )


def no_kernel_of_its_own(evidence: Evidence) -> str | None:
    """Why there is nothing to say about this host's next boot; None if there is."""
    if evidence.host.container is not None:
        return "a container boots with the kernel of its host"
    if evidence.desired.module is None:
        return f"module {contract().module} is not wanted here"
    if not evidence.kernels_to_boot:
        raise CannotLook("no kernel was found on this host")
    return None
