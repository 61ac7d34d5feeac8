"""Writes a recipe and, where the distribution's own tools are on this machine, has them make the package of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metis_provision.model.artifact import Payload
from metis_provision.model.errors import ExitCode, UserError
from metis_provision.packaging.recipe import Format, Recipe, recipe
from metis_provision.packaging.source import Source, read_source

NOBODY = 65534
"""Who builds where a tool refuses root: user and group of no rights, the same number everywhere."""


@dataclass(frozen=True, slots=True)
class Builder:
    """What makes a package: programs and the packages they are in, the command, and what it leaves where.

    ``directory`` and ``result`` are below the recipe's directory; ``command`` may hold ``{top}``, that directory.
    """

    tools: Mapping[str, str]
    directory: str
    command: tuple[str, ...]
    result: str
    by_root: bool = True


@dataclass(frozen=True, slots=True)
class Built:
    """A recipe on the disk and the packages made of it; ``missing`` says what kept them from being made."""

    recipe: Recipe
    directory: Path
    packages: tuple[Path, ...]
    missing: str | None = None


_BUILDERS: Mapping[Format, Builder] = {
    Format.DEB: Builder(
        {"dpkg-buildpackage": "dpkg-dev", "dh": "debhelper", "dh_dkms": "dh-dkms", "make": "make"},
        "{package}-{version}",
        # Without a look at build dependencies: the tools above are all of them but the compiler, which nothing needs.
        ("dpkg-buildpackage", "--build=binary", "--no-sign", "--no-check-builddeps"),
        "*.deb",
    ),
    Format.RPM: Builder(
        {"rpmbuild": "rpm or rpm-build"},
        "SPECS",
        (
            *("rpmbuild", "-bb", "--nodeps", "--define", "_topdir {top}", "--define", "_buildhost localhost"),
            *("--define", "clamp_mtime_to_source_date_epoch 1", "--define", "use_source_date_epoch_as_buildtime 1"),
            "{package}.spec",
        ),
        "RPMS/noarch/*.rpm",
    ),
    Format.ARCH: Builder(
        {"makepkg": "makepkg or pacman", "fakeroot": "fakeroot", "zstd": "zstd"},
        ".",
        # What it depends on is needed where it is installed, not here.
        ("makepkg", "--nodeps", "--noconfirm"),
        "*.pkg.tar.zst",
        by_root=False,
    ),
    Format.ALPINE: Builder(
        {"abuild": "abuild"}, ".", ("abuild", "-d", "-P", "{top}/packages"), "packages/*/noarch/*.apk", by_root=False
    ),
}


def package(kind: Format, payload: Payload, out: Path) -> Built:
    """Write the recipe into ``out/<format>`` and the packages, if they can be made here, into ``out``.

    Raises UserError, and then nothing is left in ``out`` but the log of a tool that failed.
    """
    source = read_source(payload)
    wanted = recipe(kind, source)
    target = out / kind
    _refuse_existing(out, target)
    missing = _missing(kind, target)
    with _told(out), tempfile.TemporaryDirectory(prefix="metis-package-") as scratch:
        out.mkdir(parents=True, exist_ok=True)
        made = [] if missing else _build(wanted, source, Path(scratch), out)
        packages = _into_place(wanted, source, made, out)
    return Built(wanted, target, packages, missing)


def sha256_of(path: Path) -> str:
    """The digest to pin a package by."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse_existing(out: Path, target: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a directory: give --out the path of one")
    if target.exists():
        raise UserError(f"{target} is there already: remove it, or give another --out")


def _missing(kind: Format, target: Path) -> str | None:
    """Why no package can be made here, with what to do; None if one can."""
    builder = _BUILDERS.get(kind)
    if builder is None:
        return f"portage builds from the ebuild itself: name {target} as a repository in /etc/portage/repos.conf"
    lacking = [f"{tool} (package {name})" for tool, name in builder.tools.items() if shutil.which(tool) is None]
    if not lacking:
        return None
    command = " ".join(builder.command[:1])
    return f"{', '.join(lacking)} is missing here, so there is only the recipe: run {command} where it is, in {target}"


def _build(wanted: Recipe, source: Source, scratch: Path, out: Path) -> list[Path]:
    """Run the format's tool in a copy of the recipe; its output is kept in ``out`` if it fails."""
    builder = _BUILDERS[wanted.format]
    top = scratch / "recipe"
    _write(wanted, source, top)
    names = {"top": str(top), "package": wanted.package, "version": wanted.version}
    command = [word.format(**names) for word in builder.command]
    if not builder.by_root and os.geteuid() == 0:
        _give_away(scratch)
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or str(source.newest)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": epoch,
        "LC_ALL": "C.UTF-8",
        "HOME": str(scratch),
        "TZ": "UTC",
        "PKGEXT": ".pkg.tar.zst",
        "PKGDEST": str(top),
        "BUILDDIR": str(scratch / "build"),
    }
    log = scratch / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            cwd=top / builder.directory.format(**names),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    packages = sorted(top.glob(builder.result)) if done.returncode == 0 else []
    if not packages:
        kept = out / f"{wanted.format}-build.log"
        shutil.copyfile(log, kept)
        raise UserError(f"{builder.command[0]} made no package: {_complaint(log)} (log: {kept})", ExitCode.FAILED)
    return packages


def _complaint(log: Path) -> str:
    """The line that says most: a full disk explains everything after it, else the first error, else the last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    for mark in ("No space left", "error:", "ERROR:", "Error"):
        found = next((line for line in lines if mark in line), None)
        if found is not None:
            return found
    return lines[-1] if lines else "it said nothing"


def _give_away(scratch: Path) -> None:
    for path in (scratch, *scratch.rglob("*")):
        os.chown(path, NOBODY, NOBODY)


def _into_place(wanted: Recipe, source: Source, packages: list[Path], out: Path) -> tuple[Path, ...]:
    """Everything is written beside its place first, so that what has a name is complete."""
    targets = tuple(out / path.name for path in packages)
    there = next((path for path in targets if path.exists()), None)
    if there is not None:
        raise UserError(f"{there} is there already: remove it, or give another --out")
    staged = Path(tempfile.mkdtemp(prefix=".package-", dir=out))
    try:
        _write(wanted, source, staged / "recipe")
        for path in packages:
            shutil.copyfile(path, staged / path.name)
        for path, target in zip(packages, targets, strict=True):
            (staged / path.name).rename(target)
        (staged / "recipe").rename(out / wanted.format)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return targets


def _write(wanted: Recipe, source: Source, top: Path) -> None:
    """The recipe's files, the pinned source where they look for it, and unpacked where they want it so."""
    tarball = top / wanted.tarball
    tarball.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.path, tarball)
    if sha256_of(tarball) != source.sha256:
        raise UserError(f"{source.path} changed while it was read: run again")
    if wanted.tree is not None:
        _unpack(tarball, source, top / wanted.tree)
    for file in wanted.files:
        path = top / PurePosixPath(file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)


def _unpack(tarball: Path, source: Source, tree: Path) -> None:
    """Without what the maker's own packaging may have in it, as dpkg-source does."""
    tree.mkdir(parents=True)
    command = ["tar", "-x", "-z", "-o", "-m", "-f", str(tarball), "-C", str(tree), "--strip-components=1"]
    done = subprocess.run(
        [*command, f"--exclude={source.top}/debian"], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise UserError(f"{source.path} could not be unpacked: {done.stderr.strip().splitlines()[0]}", ExitCode.FAILED)


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Turn what the file system refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or out} could not be written: {error.strerror}", ExitCode.FAILED) from error
