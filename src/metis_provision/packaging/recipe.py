"""What a package is made from, as text: every file of a distribution's recipe, for one pinned driver source."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from metis_provision.catalog.contract import contract
from metis_provision.desired import access, driver
from metis_provision.desired.platforms import Platform, platforms
from metis_provision.desired.rendering import render
from metis_provision.model.errors import UserError
from metis_provision.packaging.source import Source

RELEASE = "1"
"""Counts what changes in a recipe or in the files a package carries while the driver stays the same."""

MAINTAINER = "metis-provision <packages@metis-provision.invalid>"
HOMEPAGE = "https://github.com/axelera-ai-hub/axelera-driver"
LICENCE = "GPL-2.0-only"
SUMMARY = "Axelera Metis PCIe driver"

BANNER = "Made by metis-provision package: make it anew rather than change it."

_TOP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class Format(StrEnum):
    """The packages that can be made."""

    DEB = "deb"
    RPM = "rpm"
    ARCH = "arch"
    ALPINE = "alpine"
    GENTOO = "gentoo"


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A file of a recipe, by its path below the recipe's directory."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Carried:
    """A file that a package carries besides the source: its name among the recipe's, and its path on a host."""

    name: str
    path: str
    content: bytes
    mode: str = "0644"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All files of a recipe; ``tarball`` is where among them the pinned source belongs, ``tree`` where unpacked."""

    format: Format
    package: str
    version: str
    files: tuple[RecipeFile, ...]
    tarball: str
    tree: str | None = None


def recipe(kind: Format, source: Source) -> Recipe:
    """The recipe of a format. Raises UserError for a version or a directory's name that the format cannot express."""
    if not _TOP.fullmatch(source.top):
        raise UserError(f"{source.path} unpacks to {source.top!r}, which no recipe can name safely: pack it anew")
    return _RECIPES[kind](source)


def _deb(source: Source) -> Recipe:
    platform = _family("debian")
    values = _values(source, platform, platform.package_version(source.version))
    top = f"{values['package']}-{values['package_version']}/debian"
    names = ("control", "changelog", "copyright", "source/format", "README.source")
    scripts = ("postinst", "postrm", "prerm", "maintscript")
    files = [
        *(RecipeFile(f"{top}/{name}", _render(f"deb/debian/{name}", values)) for name in names),
        *(
            RecipeFile(f"{top}/{values['package']}.{name}", _render(f"deb/debian/metis-dkms.{name}", values))
            for name in scripts
        ),
        RecipeFile(f"{top}/rules", _render("deb/debian/rules", values), 0o755),
        RecipeFile(f"{top}/{values['package']}.dkms", values["dkms_conf"]),
        RecipeFile(f"{top}/{values['package']}.sysusers", values["sysusers"]),
        *(RecipeFile(f"{top}/{file.name}", file.content) for file in values["carried"]),
    ]
    tarball = f"{values['package']}_{values['package_version']}.orig.tar.gz"
    return replace(_made(Format.DEB, values, files, tarball), tree=str(PurePosixPath(top).parent))


def _rpm(source: Source) -> Recipe:
    platform = _family("fedora")
    values = _values(source, platform, platform.package_version(source.version))
    values = _with_sysusers(values)
    conf = RecipeFile("SOURCES/dkms.conf", values["dkms_conf"])
    carried = [RecipeFile(f"SOURCES/{file.name}", file.content) for file in values["carried"]]
    spec = _render("rpm/metis-dkms.spec", {**values, "pins": _pins([conf, *carried])})
    files = [RecipeFile(f"SPECS/{values['package']}.spec", spec), conf, *carried]
    return _made(Format.RPM, values, files, f"SOURCES/{values['tarball']}")


def _arch(source: Source) -> Recipe:
    platform = _family("arch")
    values = _with_sysusers(_values(source, platform, platform.package_version(source.version)))
    beside = [RecipeFile("dkms.conf", values["dkms_conf"])]
    beside += [RecipeFile(file.name, file.content) for file in values["carried"]]
    build = _render("arch/PKGBUILD", {**values, "pins": _pins(beside)})
    return _made(Format.ARCH, values, [RecipeFile("PKGBUILD", build), *beside], values["tarball"])


def _alpine(source: Source) -> Recipe:
    platform = _family("alpine")
    # eudev, as Alpine builds it, reads no rules below /usr/lib.
    values = _values(source, platform, platform.package_version(source.version), rules_dir="/lib/udev/rules.d")
    beside = [RecipeFile("AKMBUILD", _render("alpine/AKMBUILD", values))]
    beside += [RecipeFile(file.name, file.content) for file in values["carried"]]
    script = RecipeFile(f"{values['package']}.pre-install", _render("alpine/metis-src.pre-install", values), 0o755)
    build = _render("alpine/APKBUILD", {**values, "pins": _pins(beside)})
    return _made(Format.ALPINE, values, [RecipeFile("APKBUILD", build), script, *beside], values["tarball"])


def _gentoo(source: Source) -> Recipe:
    platform = _family("gentoo")
    values = _values(source, platform, platform.package_version(source.version))
    here, group = values["package"], f"acct-group/{values['group']}"
    name = PurePosixPath(here).name
    files = [
        RecipeFile("metadata/layout.conf", _render("gentoo/metadata/layout.conf", values)),
        RecipeFile("profiles/repo_name", _render("gentoo/profiles/repo_name", values)),
        RecipeFile(
            f"{here}/{name}-{values['package_version']}.ebuild",
            _render("gentoo/sys-kernel/metis/metis.ebuild", values),
        ),
        RecipeFile(f"{here}/Manifest", _render("gentoo/sys-kernel/metis/Manifest", values)),
        RecipeFile(f"{here}/metadata.xml", _render("gentoo/sys-kernel/metis/metadata.xml", values)),
        *(RecipeFile(f"{here}/files/{file.name}", file.content) for file in values["carried"]),
        RecipeFile(
            f"{group}/{values['group']}-0.ebuild", _render("gentoo/acct-group/axelera/axelera-0.ebuild", values)
        ),
        RecipeFile(f"{group}/metadata.xml", _render("gentoo/acct-group/axelera/metadata.xml", values)),
    ]
    return _made(Format.GENTOO, values, files, f"distfiles/{values['tarball']}")


_RECIPES: Mapping[Format, Callable[[Source], Recipe]] = {
    Format.DEB: _deb,
    Format.RPM: _rpm,
    Format.ARCH: _arch,
    Format.ALPINE: _alpine,
    Format.GENTOO: _gentoo,
}


def _made(kind: Format, values: Mapping[str, Any], files: list[RecipeFile], tarball: str) -> Recipe:
    return Recipe(kind, values["package"], values["package_version"], tuple(files), tarball)


def _render(template: str, values: Mapping[str, Any]) -> bytes:
    return render(f"packaging/{template}", **values)


def _family(name: str) -> Platform:
    return next(platform for platform in platforms() if platform.name == name)


def _values(
    source: Source, platform: Platform, package_version: str, rules_dir: str = "/usr/lib/udev/rules.d"
) -> dict[str, Any]:
    """Everything that templates ask for; ``carried`` are the files every package brings besides the source."""
    module, package = str(contract().module), platform.driver_package
    carried_banner = f"From the package {package}: a file of the same name below /etc takes the place of this one."
    made = datetime.fromtimestamp(source.newest, UTC)
    group = access.PACKAGE_DEFAULTS.group
    rules = PurePosixPath(rules_dir) / PurePosixPath(access.UDEV_RULES).name
    load = f"{module}.modules-load"
    return {
        "banner": BANNER,
        "group": group,
        "module": module,
        "package": package,
        "version": source.version,
        "package_version": package_version,
        "release": RELEASE,
        "summary": SUMMARY,
        "homepage": HOMEPAGE,
        "licence": LICENCE,
        "maintainer": MAINTAINER,
        "headers": platform.headers_choices,
        "source_dir": f"/usr/src/{module}-{source.version}",
        "program_dir": str(PurePosixPath(access.PACKAGED_CARD_NAMES).parent),
        "rules_name": rules.name,
        "load_name": load,
        "vendor_rules": access.VENDOR_RULES,
        "triggered": [*(entry.name for entry in contract().device_classes if not entry.shared), "dma_heap"],
        "tarball": f"axelera-driver-{source.version}.tar.gz",
        "top": source.top,
        "size": source.size,
        "sha256": source.sha256,
        "sha512": source.sha512,
        "blake2b": source.blake2b,
        "year": made.year,
        "date_rfc": format_datetime(made),
        "date_rpm": made.strftime("%a %b %d %Y"),
        "dkms_conf": driver.dkms_conf(source.version, carried_banner),
        "sysusers": _render("common/metis-dkms.sysusers", {"banner": carried_banner, "group": group}),
        "carried": (
            Carried(rules.name, str(rules), access.packaged_rules(carried_banner)),
            Carried("metis-card-names", access.PACKAGED_CARD_NAMES, access.card_names(carried_banner), "0755"),
            Carried(load, driver.PACKAGED_MODULES_LOAD, driver.modules_load(module, carried_banner)),
        ),
    }


def _with_sysusers(values: dict[str, Any]) -> dict[str, Any]:
    """Where no helper installs the group's definition, it is one more file that the package carries."""
    name = f"{values['package']}.sysusers"
    own = Carried(name, f"/usr/lib/sysusers.d/{values['package']}.conf", values["sysusers"])
    return {**values, "carried": (*values["carried"], own)}


def _pins(files: list[RecipeFile]) -> list[dict[str, str]]:
    return [
        {
            "name": PurePosixPath(file.path).name,
            "sha256": hashlib.sha256(file.content).hexdigest(),
            "sha512": hashlib.sha512(file.content).hexdigest(),
        }
        for file in files
    ]
