"""The runtime alone, by apt, pip, a container or a package file: ``pyinfra INVENTORY deploys/runtime.py``."""

from metis_provision.deploys import runtime

runtime()
