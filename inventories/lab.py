"""The machines of the lab that are running now (``metis-provision lab up``)."""

from metis_provision.lab.inventory import lab_hosts

hosts = lab_hosts()
