"""What differs between distribution families, one module each, and nowhere else."""

from metis_provision.desired.platforms import alpine, arch, debian, fedora, gentoo, raspios, ubuntu  # noqa: F401 - registry
from metis_provision.desired.platforms.base import (
    PYTHONS,
    DeviceManager,
    InitSystem,
    KernelHook,
    Platform,
    all_package_patterns,
    platform_of,
    platforms,
    python_of,
)

__all__ = [
    "PYTHONS",
    "DeviceManager",
    "InitSystem",
    "KernelHook",
    "Platform",
    "all_package_patterns",
    "platform_of",
    "platforms",
    "python_of",
]
