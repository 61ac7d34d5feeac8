"""From a bare host to a verified card: ``pyinfra INVENTORY deploys/metis.py``."""

from metis_provision.deploys import metis

metis()
