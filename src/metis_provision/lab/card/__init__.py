"""A virtual Metis card: a PCIe endpoint in a process of its own, served to QEMU over vfio-user.

Run as ``python -m metis_provision.lab.card``. Standard library only, so that the process starts at once and
can be copied to where nothing else is installed.
"""
