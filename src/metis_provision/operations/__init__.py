"""Operations for pyinfra: few, coarse, each named for what it means to the operator."""

from metis_provision.operations.steps import access, card, driver, packages, preflight, runtime, verify

__all__ = ["access", "card", "driver", "packages", "preflight", "runtime", "verify"]
