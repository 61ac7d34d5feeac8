"""What other tools and older hands left on a host: recognised, then replaced, set aside or left as the settings say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath

from metis_provision.catalog.contract import contract
from metis_provision.desired.access import VENDOR_RULES
from metis_provision.desired.platforms import platform_of
from metis_provision.model.artifact import DesiredState, DkmsModule, DriverPackage, Fate, Leftover, LeftoverKind
from metis_provision.model.settings import PREFIX, DriverSource, PastPolicy, Settings
from metis_provision.model.survey import ModuleFile, Past, Survey

_DOCUMENTED = {
    "99-axelera.rules": "/etc/udev/rules.d",
    "axelera.service": "/etc/systemd/system",
    "module-setup.sh": "/usr/lib/dracut/modules.d/95rpi-hardware",
}
"""Files of the Cruiser documents that serve nothing else, and where they say to put them."""

_CORRECT_IT = "it may hold more than that: correct or remove it by hand"


def with_past(settings: Settings, survey: Survey, state: DesiredState) -> DesiredState:
    """``state`` with what is to become of leftovers; files that they keep us from writing are no longer in it."""
    found = tuple(_leftovers(settings, survey, state))
    kept = {leftover.path for leftover in found if leftover.fate is Fate.LEFT}
    return replace(
        state,
        files=tuple(file for file in state.files if file.path not in kept),
        leftovers=found,
        blockers=(*state.blockers, *_blockers(state.dkms, found)),
    )


def _leftovers(settings: Settings, survey: Survey, state: DesiredState) -> Iterator[Leftover]:
    past = survey.past
    if past is None:
        return
    wanted = {file.path for file in state.files}
    found = [*_rules(past, wanted), *_units_and_scripts(past, wanted)]
    if settings.driver is not DriverSource.NONE:
        found += _modules(past, survey)
        past, survey = _without_package(past, survey, state.driver_package)
        found += [*_sources(past, survey, state.dkms), *_builds(past, survey, state.dkms)]
    for leftover in found:
        stays = settings.past is PastPolicy.LEAVE and leftover.fate in {Fate.REPLACED, Fate.SET_ASIDE}
        yield replace(leftover, fate=Fate.LEFT, why=f"{PREFIX}past says so") if stays else leftover


def _without_package(past: Past, survey: Survey, package: DriverPackage | None) -> tuple[Past, Survey]:
    """Both without what the driver's own package brought: its upgrade takes that along."""
    own = {source.version for source in past.sources if package is not None and source.owner == package.name}
    others = tuple(source for source in past.sources if source.version not in own)
    builds = tuple(build for build in survey.dkms or () if build.version not in own)
    return replace(past, sources=others), replace(survey, dkms=builds)


def _rules(past: Past, wanted: set[str]) -> Iterator[Leftover]:
    documented = [f'"0x{entry.vendor_hex}"' for entry in contract().ids if entry.class_guarded]
    guard = f'"0x{contract().class_guard.value:04x}'
    texts: dict[str, list[str]] = {}
    for rule in past.rules:
        texts.setdefault(rule.path, []).append(rule.text)
    for path, lines in texts.items():
        unguarded = any(vendor in line and guard not in line for line in lines for vendor in documented)
        if path == VENDOR_RULES:
            yield Leftover(
                path, LeftoverKind.FILE, "the vendor's rule, which opens the card to everybody", Fate.OVERRIDDEN
            )
        elif unguarded and not any(guard in line for line in lines):
            yield _file(path, "rules for ids that no Metis has", wanted)


def _units_and_scripts(past: Past, wanted: set[str]) -> Iterator[Leftover]:
    for path in past.units:
        yield _file(path, "a unit without [Install], which cannot be enabled", wanted)
    for path in past.dracut_modules:
        yield _file(path, "a dracut module that calls inst_mods, which dracut does not have", wanted)


def _file(path: str, what: str, wanted: set[str]) -> Leftover:
    place = PurePosixPath(path)
    if path in wanted:
        return Leftover(path, LeftoverKind.FILE, what, Fate.REPLACED)
    if _DOCUMENTED.get(place.name) == str(place.parent):
        return Leftover(path, LeftoverKind.FILE, what, Fate.SET_ASIDE)
    return Leftover(path, LeftoverKind.FILE, what, Fate.LEFT, _CORRECT_IT)


def _sources(past: Past, survey: Survey, tree: DkmsModule | None) -> Iterator[Leftover]:
    for source in past.sources:
        what = f"driver source {source.version}" + ("" if source.has_conf else " without a dkms.conf")
        if tree is None or source.path != tree.source_dir:
            leftover = Leftover(source.path, LeftoverKind.SOURCE, what, Fate.SET_ASIDE)
            yield _owned(_still_needed(leftover, source.version, survey), source.owner)
        elif tree.packaged or not _is_ours(tree, survey):
            what = f"{what} of another origin, under the version that is wanted"
            yield _owned(Leftover(source.path, LeftoverKind.SOURCE, what, Fate.REPLACED), source.owner)


def _is_ours(tree: DkmsModule, survey: Survey) -> bool:
    """Whether this program put the tree there, from whatever payload."""
    mark = survey.files.get(tree.mark_path)
    return mark is not None and mark.kind == "file"


def _builds(past: Past, survey: Survey, tree: DkmsModule | None) -> Iterator[Leftover]:
    owners = {source.version: source.owner for source in past.sources}
    module = str(contract().module)
    versions = {build.version for build in survey.dkms or () if build.module == module}
    for version in sorted(versions - ({tree.version} if tree else set())):
        path = f"/var/lib/dkms/{module}/{version}"
        leftover = Leftover(path, LeftoverKind.BUILD, f"DKMS tree {version}", Fate.SET_ASIDE)
        yield _owned(_still_needed(leftover, version, survey), owners.get(version))


def _still_needed(leftover: Leftover, version: str, survey: Survey) -> Leftover:
    """What another kernel runs on stays as long as nothing can be built in its place."""
    without = {kernel.release for kernel in survey.kernels if not kernel.headers and not kernel.running}
    served = [
        build.kernel
        for build in survey.dkms or ()
        if build.version == version and build.kernel in without and build.state.startswith("installed")
    ]
    if not served:
        return leftover
    return replace(leftover, fate=Fate.LEFT, why=f"it is the driver of kernel {served[0]}, which has no headers")


def _modules(past: Past, survey: Survey) -> Iterator[Leftover]:
    for module in past.modules:
        if not _by_dkms(module, survey):
            leftover = Leftover(
                module.path, LeftoverKind.MODULE, "a module that DKMS did not put there", Fate.SET_ASIDE
            )
            yield _owned(leftover, module.owner)


def _by_dkms(module: ModuleFile, survey: Survey) -> bool:
    """DKMS puts modules into one directory of each kernel, which one depends on the distribution."""
    platform = platform_of(survey.host)
    place = f"/lib/modules/{module.kernel}{platform.module_location if platform else ''}/"
    return module.path.startswith(place) and any(
        build.kernel == module.kernel and build.state.startswith("installed") for build in survey.dkms or ()
    )


def _owned(leftover: Leftover, owner: str | None) -> Leftover:
    """What belongs to a package is the package manager's to remove."""
    if owner is None:
        return leftover
    return replace(leftover, fate=Fate.LEFT, why=f"it belongs to package {owner}: remove the package")


def _blockers(tree: DkmsModule | None, found: tuple[Leftover, ...]) -> Iterator[str]:
    """The driver's source cannot be put where something else has to stay."""
    for leftover in found:
        if tree is not None and leftover.path == tree.source_dir and leftover.fate is Fate.LEFT:
            yield (
                f"{leftover.path} holds {leftover.what}, and it stays, because {leftover.why}; "
                f"or choose another {PREFIX}driver_version, or set {PREFIX}driver = 'none'"
            )


def kernels_of(leftovers: tuple[Leftover, ...]) -> tuple[str, ...]:
    """Kernels whose list of modules changes when these are set aside."""
    found = (re.match(r"/lib/modules/([^/]+)/", leftover.path) for leftover in leftovers)
    return tuple(dict.fromkeys(match[1] for match in found if match))
