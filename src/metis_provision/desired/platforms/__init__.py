"""What differs between distribution families, one module each, and nowhere else."""

from metis_provision.desired.platforms import debian as _debian  # noqa: F401 - enters the registry
from metis_provision.desired.platforms.base import Platform, all_package_patterns, platform_of

__all__ = ["Platform", "all_package_patterns", "platform_of"]
