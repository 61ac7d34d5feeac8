"""The machines of the lab that are running now (``metis-provision lab up``)."""

from pyinfra.api.exceptions import InventoryError

from metis_provision.lab.inventory import lab_hosts
from metis_provision.model.errors import UserError

try:
    hosts = lab_hosts()
except UserError as error:
    # pyinfra prints its own errors as one line, and any other with a traceback.
    raise InventoryError(str(error)) from error
