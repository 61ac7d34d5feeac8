"""Checks of signatures: whether the kernel, now and at the next boot, takes the driver's module."""

from __future__ import annotations

import re
from collections.abc import Iterator

from metis_provision.checks.evidence import LOOK_AGAIN, Evidence
from metis_provision.checks.next_boot import about_next_kernel
from metis_provision.checks.outcome import Checks, Outcome, failed, passed, skipped, unknown
from metis_provision.model.survey import Kernel, ModuleTrust, Section, SignatureState

checks = Checks()

# kernel/module/signing.c and security/lockdown/lockdown.c; "tainting kernel" is a warning and no refusal.
_REFUSALS = re.compile(
    r"Loading of .+ is rejected|Lockdown: \S+ unsigned module loading is restricted|Key was rejected by service"
)
_BAD = {SignatureState.UNSIGNED, SignatureState.NOT_ENROLLED, SignatureState.STAGED}


@checks.answers("METIS-235")
def next_kernel_takes_module(evidence: Evidence) -> Iterator[Outcome]:
    """The module of the kernel that boots next is signed by an enrolled key, where signatures are insisted on."""
    yield from about_next_kernel(evidence, _next)


def _next(evidence: Evidence, kernel: Kernel) -> Outcome:
    by = evidence.survey.signatures_enforced
    if kernel.module_path is None:
        return skipped("there is no module (METIS-232)", subject=kernel.release)
    if by is None:
        return unknown("whether the kernel insists on signatures could not be read", LOOK_AGAIN, required=False)
    if not by:
        return passed("Nothing on this host insists on signed modules.", subject=kernel.release)
    state = _trust(evidence).signature(kernel)
    if state in _BAD:
        told = {"what": _WHAT[state], "by": by, "remedy": _remedy(evidence, state)}
        return failed(about=kernel.release, short=f"module {state}", path=kernel.module_path, **told)
    if state is SignatureState.ENROLLED or _taken_already(evidence, kernel):
        return passed(f"{kernel.module_path} is signed by a key that is enrolled.", subject=kernel.release)
    return unknown(
        f"whether the key of {kernel.module_path} is enrolled could not be read",
        "Install mokutil and openssl on the host, and verify again as root.",
        subject=kernel.release,
    )


@checks.answers("METIS-240")
def kernel_takes_module(evidence: Evidence) -> Iterator[Outcome]:
    """The running kernel has taken the driver's module, or would."""
    evidence.need(Section.HOST)
    kernel = evidence.running_kernel
    by = evidence.survey.signatures_enforced
    if evidence.driver.loaded:
        yield passed("The running kernel took the module.")
    elif kernel.module_path is None:
        yield skipped("there is no module on disk (METIS-211)")
    else:
        yield _would_be_taken(evidence, kernel, by)


def _would_be_taken(evidence: Evidence, kernel: Kernel, by: str | None) -> Outcome:
    state, refusal = _trust(evidence).signature(kernel), _refusal(evidence)
    if refusal and state is SignatureState.UNKNOWN:
        state = SignatureState.NOT_ENROLLED
    if state not in _BAD or not (by or refusal):
        return skipped("nothing speaks against its signature, and it is not in memory (METIS-201)")
    words = f'{by or "the kernel"} ("{refusal}")' if refusal else str(by)
    told = {"what": _WHAT[state], "by": words, "remedy": _remedy(evidence, state)}
    return failed(short=f"module {state}", path=kernel.module_path, **told)


def _trust(evidence: Evidence) -> ModuleTrust:
    return evidence.survey.trust or ModuleTrust()


def _refusal(evidence: Evidence) -> str:
    """The kernel's last words on a module it refused; empty if there are none."""
    found = [match[0] for line in evidence.survey.log if (match := _REFUSALS.search(line))]
    return found[-1] if found else ""


def _taken_already(evidence: Evidence, kernel: Kernel) -> bool:
    """The running kernel insists as well, and has a module in memory that was signed by the same key."""
    running = evidence.survey.running_kernel
    if not evidence.driver.loaded or running is None or evidence.survey.driver_is_stale is not False:
        return False
    return kernel.running or (kernel.signing_key is not None and kernel.signing_key == running.signing_key)


_WHAT = {
    SignatureState.UNSIGNED: "is not signed",
    SignatureState.NOT_ENROLLED: "is signed by a key that is not enrolled",
    SignatureState.STAGED: "is signed by a key whose enrolment waits for a confirmation at the console",
}
_MANAGER = (
    "in the blue screen (MOK manager) choose 'Enroll MOK', 'Continue', 'Yes', type that password and choose 'Reboot'"
)


def _remedy(evidence: Evidence, state: SignatureState) -> str:
    """The one manual step: nobody but a person at the console can enrol a key."""
    key = _trust(evidence).own_path or "/var/lib/dkms/mok.pub"
    if state is SignatureState.UNSIGNED:
        return (
            "Install openssl and the kernel's headers, remove the module with dkms and run the deploy, so that DKMS "
            f"signs what it builds; then enrol its key (mokutil --import {key}, reboot, {_MANAGER})."
        )
    if evidence.host.secure_boot is False:
        return (
            f"Boot a kernel that has {key} among its trusted keys, or sign the module with a key that it has; "
            "without Secure Boot there is no list of machine owner keys to enrol one in."
        )
    if state is SignatureState.STAGED:
        return f"Reboot with somebody at the console: {_MANAGER}."
    return f"Run mokutil --import {key} (it asks for a new password), reboot with somebody at the console: {_MANAGER}."
