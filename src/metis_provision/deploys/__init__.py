"""Deploys for pyinfra: the order of operations on a host."""

from metis_provision.deploys.host import metis, runtime, verify

__all__ = ["metis", "runtime", "verify"]
