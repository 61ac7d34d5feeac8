"""Boot configuration: which lines a host's config.txt needs, the file with them, and why it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator

from metis_provision.catalog.carriers import Carrier, Overlay, OverlayTime, called, carrier, misfit
from metis_provision.desired.config_txt import ConfigRefused, board_of, edited, holds_block
from metis_provision.model.artifact import BootConfig
from metis_provision.model.settings import Settings
from metis_provision.model.survey import Boot, Survey

_OVERLAY = "dtoverlay="


def lines(settings: Settings, survey: Survey) -> tuple[str, ...]:
    """The lines of config.txt that must be in force on this host."""
    if not settings.boot_config:
        return ()
    profile = carrier(settings.carrier)
    found = [*(profile.boot.lines if profile.boot else ())]
    if settings.overlays is not None:
        found += [f"{_OVERLAY}{name}" for name in settings.overlays]
    else:
        found += [f"{_OVERLAY}{overlay.name}" for overlay in _overlays(profile) if _at_boot(overlay, survey.boot)]
    return (*found, *settings.boot_lines)


def config(settings: Settings, survey: Survey) -> BootConfig | None:
    """config.txt as it should be, None on a host that has none or whose file must be left alone."""
    boot, board = survey.boot, board_of(survey.host.model)
    if survey.host.container is not None or board is None or misfit(settings.carrier, survey.host):
        return None
    if boot is None or boot.config_path is None or boot.config is None:
        return None
    wanted, now = lines(settings, survey), boot.config.encode("latin-1")
    if not wanted and not holds_block(now):
        return None
    try:
        return BootConfig(boot.config_path, wanted, now, edited(now, wanted, board))
    except ConfigRefused:
        return None


def blockers(settings: Settings, survey: Survey) -> Iterator[str]:
    """One sentence per reason why the boot configuration cannot be had."""
    if wrong := misfit(settings.carrier, survey.host):
        yield f"metis_carrier = {wrong}: correct it"
    elif survey.boot is not None and survey.host.architecture and survey.host.container is None:
        yield from _obstacles(settings, survey, survey.boot)


def _obstacles(settings: Settings, survey: Survey, boot: Boot) -> Iterator[str]:
    wanted = lines(settings, survey)
    board = board_of(survey.host.model)
    if board is None:
        if wanted:
            asked = "metis_boot_lines" if settings.boot_lines else "metis_overlays"
            yield f"{asked} is for a Raspberry Pi 4 or 5, and this host is {called(survey.host)}: take it out"
        return
    if wanted:
        yield from _not_there(boot)
        yield from _missing_overlays(wanted, boot)
    if boot.config_path is None or boot.config is None:
        return
    now = boot.config.encode("latin-1")
    try:
        changes = (wanted or holds_block(now)) and edited(now, wanted, board) != now
    except ConfigRefused as refusal:
        yield f"{boot.config_path} {refusal}"
        return
    if changes and boot.read_only:
        yield f"{boot.mount_point} is mounted read-only: mount -o remount,rw {boot.mount_point}, then run again"


def _not_there(boot: Boot) -> Iterator[str]:
    if boot.config_path is None:
        yield "neither /boot/firmware nor /boot has a config.txt: mount the Raspberry Pi's boot partition there"
    elif boot.config is None:
        yield f"{boot.config_path} could not be read: it needs root, base64, and a file of at most 64 KiB"
    elif boot.mount_point == "/":
        yield (
            f"{boot.config_path} lies on the root file system, which the Raspberry Pi's firmware does not read: "
            f"mount the boot partition at {boot.config_path.rpartition('/')[0]}"
        )


def _missing_overlays(wanted: tuple[str, ...], boot: Boot) -> Iterator[str]:
    if boot.config_path is None:
        return
    for line in wanted:
        name = line.removeprefix(_OVERLAY).replace(":", ",").partition(",")[0]
        if line.startswith(_OVERLAY) and name not in (boot.overlays or ()):
            directory = f"{boot.config_path.rpartition('/')[0]}/overlays"
            yield (
                f"overlay {name} is not in {directory}: update the Raspberry Pi's firmware package, "
                f"put {name}.dtbo there, or name the overlays this host needs in metis_overlays"
            )


def _overlays(profile: Carrier) -> tuple[Overlay, ...]:
    return profile.boot.overlays if profile.boot else ()


def _at_boot(overlay: Overlay, boot: Boot | None) -> bool:
    if not overlay.needed and (boot is None or overlay.name not in (boot.overlays or ())):
        return False
    return overlay.at is OverlayTime.BOOT or boot is None or not boot.configfs
