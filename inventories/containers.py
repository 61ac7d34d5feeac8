"""Containers as hosts that carry the files alone, through podman: no kernel, no card, no driver.

Those of the lab, each with a real init system:

    metis-provision lab up --kind container --name box       # --release bookworm, --init openrc
    pyinfra inventories/containers.py deploys/metis.py

and any other container that runs, by podman's name. Where a registry can be reached, that is how other distributions
are tried: start an image of theirs that boots an init system, and name it here:

    podman run --detach --name fedora --systemd=always IMAGE /sbin/init
    METIS_CONTAINERS="fedora another" pyinfra inventories/containers.py deploys/metis.py

By ssh, as root or as a user with sudo, the lab's containers are in inventories/lab.py, with its machines.
"""

from pyinfra.api.exceptions import InventoryError

from metis_provision.lab.inventory import podman_hosts
from metis_provision.model.errors import UserError

try:
    hosts = podman_hosts()
except UserError as error:
    # pyinfra prints its own errors as one line, and any other with a traceback.
    raise InventoryError(str(error)) from error
