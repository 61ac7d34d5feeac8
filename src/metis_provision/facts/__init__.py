"""Facts for pyinfra: one survey per look, each section usable from the pyinfra command line."""

from metis_provision.facts.survey import (
    MetisAccess,
    MetisAccounts,
    MetisBoot,
    MetisDevices,
    MetisDkms,
    MetisDriver,
    MetisFiles,
    MetisHost,
    MetisKernels,
    MetisLog,
    MetisNodes,
    MetisPackages,
    MetisPci,
    MetisSelfTest,
    MetisState,
    MetisSurvey,
)

__all__ = [
    "MetisAccess",
    "MetisAccounts",
    "MetisBoot",
    "MetisDevices",
    "MetisDkms",
    "MetisDriver",
    "MetisFiles",
    "MetisHost",
    "MetisKernels",
    "MetisLog",
    "MetisNodes",
    "MetisPackages",
    "MetisPci",
    "MetisSelfTest",
    "MetisState",
    "MetisSurvey",
]
