"""Verification alone, changing nothing: ``pyinfra INVENTORY deploys/verify.py -y``."""

from metis_provision.deploys import verify

verify()
