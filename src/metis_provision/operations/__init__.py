"""Operations for pyinfra: few, coarse, each named for what it means to the operator."""

from metis_provision.operations.steps import (
    access,
    boot,
    card,
    driver,
    initramfs,
    packages,
    past,
    preflight,
    reboot,
    runtime,
    runtime_packages,
    services,
    verify,
)

__all__ = [
    "access",
    "boot",
    "card",
    "driver",
    "initramfs",
    "packages",
    "past",
    "preflight",
    "reboot",
    "runtime",
    "runtime_packages",
    "services",
    "verify",
]
