"""What looks at every kernel update whether the card will be there when that kernel boots, and logs it."""

from __future__ import annotations

from metis_provision.catalog.contract import contract
from metis_provision.desired import driver, initramfs
from metis_provision.desired.platforms import KernelHook, platform_of
from metis_provision.desired.rendering import render
from metis_provision.model.artifact import File, Validator
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Survey

PROGRAM = "/usr/lib/metis-provision/next-boot"

_TEMPLATES = {KernelHook.HEADERS: KernelHook.POSTINST}
"""Hooks that say the same as another."""

PATHS = (PROGRAM, *KernelHook)
"""Every path this may write, on whichever host."""


def files(settings: Settings, survey: Survey) -> tuple[File, ...]:
    """The program, and the hooks by which this family's tools call it; nothing where no kernel of the host's boots."""
    platform = platform_of(survey.host)
    if not settings.kernel_hook or driver.module(settings) is None:
        return ()
    if platform is None or survey.host.container is not None:
        return ()
    program = render(
        PROGRAM.removeprefix("/"),
        module=contract().module,
        version=settings.driver_version,
        inputs=initramfs.INPUTS,
    )
    return (
        File(PROGRAM, program, mode="0755", validator=Validator.SHELL),
        *(_hook(hook) for hook in platform.kernel_hooks),
    )


def _hook(hook: KernelHook) -> File:
    content = render(_TEMPLATES.get(hook, hook).removeprefix("/"), program=PROGRAM)
    if hook is KernelHook.PACMAN:
        return File(hook.value, content)
    return File(hook.value, content, mode="0755", validator=Validator.SHELL)
