"""Makes the stand-ins installable: the driver's source tarball and the runtime's Debian package.

Both come out the same, byte for byte, whenever the same version is made with the same compiler, so that a
checksum can be pinned. Neither is the vendor's; both say so where a person looks.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path

from metis_provision.lab.card.compute import matrix, multiply
from metis_provision.lab.platforms import PC, Platform
from metis_provision.lab.process import last_line
from metis_provision.model.errors import ExitCode, UserError

DRIVER_VERSION = "1.6.2"
RUNTIME_VERSION = "1.8.0"

# Any fixed moment does; this one is after every date that tar and apt complain about.
TIMESTAMP = 1_704_067_200

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+([-~.+a-z0-9]*)")
_DRIVER_FILES = (
    "Kbuild",
    "Makefile",
    "README.md",
    "metis.c",
    "metis_card.h",
    "metis_ioctl.h",
    "metis_job.c",
    "metis_main.c",
    "metis_node.c",
    "metis_regs.h",
)
_VERSION_HEADER = """\
/* SPDX-License-Identifier: GPL-2.0-only */
/* Version of the driver. */
#ifndef METIS_VERSION_H
#define METIS_VERSION_H

#define METIS_VERSION "{version}"

#endif
"""
_TOOLS = {
    "axdevice": ("axdevice.c", "standin.c"),
    "axrunmodel": ("axrunmodel.c", "standin.c", "model.c", "work.c"),
    "axlogdevice": ("axlogdevice.c", "standin.c"),
    "axcmd": ("axcmd.c", "standin.c"),
    "inference.py": ("inference.c", "standin.c", "model.c", "work.c"),
}
COMMON_TOOLS = ("axdevice", "axrunmodel")
"""What the runtime brings whichever way it comes."""
_PACKAGED_TOOLS = (*COMMON_TOOLS, "axlogdevice", "axcmd")
_MODEL = "standin-mvm.json"
MODEL_PATH = f"/usr/share/axelera/models/{_MODEL}"
"""Where the runtime package puts its model."""
INFERENCE_PATH = "/opt/axelera/sdk/inference.py"
"""Where it puts what the vendor's SDK has, which is no part of the vendor's package."""

_CONTROL = """\
Package: axelera-runtime-{version}
Version: {version}-1
Architecture: {architecture}
Maintainer: metis-provision stand-in <standin@metis-provision.invalid>
Depends: kmod, pciutils
Provides: axelera-runtime
Conflicts: axelera-runtime
Replaces: axelera-runtime
Section: misc
Priority: optional
Description: stand-in for the Axelera runtime, for virtual cards only
 axdevice, axrunmodel, axlogdevice and axcmd of the metis-provision lab, and the
 inference.py of an SDK. They ask the lab's virtual card through the lab's
 stand-in driver and are no replacement for the vendor's.
"""


def driver_tarball(out_dir: Path, version: str = DRIVER_VERSION, before: str = "") -> Path:
    """Write ``axelera-driver-<version>.tar.gz`` into ``out_dir`` and return its path.

    Shaped like the vendor's: ``axelera-driver-<version>/driver/`` with a Makefile, and no dkms.conf. ``before`` is C in
    front of everything else: with ``#error`` in it the source does not compile, wherever that applies.
    """
    _check_version(version)
    top = f"axelera-driver-{version}"
    source = files("metis_provision.lab.standin").joinpath("driver")
    members = {name: source.joinpath(name).read_bytes() for name in _DRIVER_FILES}
    members["metis_main.c"] = before.encode() + members["metis_main.c"]
    members["metis_version.h"] = _VERSION_HEADER.format(version=version).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, top, None)
        _add(archive, f"{top}/driver", None)
        for name in sorted(members):
            _add(archive, f"{top}/driver/{name}", members[name])
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{top}.tar.gz"
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=TIMESTAMP))
    return path


def _add(archive: tarfile.TarFile, name: str, content: bytes | None) -> None:
    """Add a file, or a directory where there is no content, owned by root and of one date."""
    member = tarfile.TarInfo(name)
    member.mtime = TIMESTAMP
    member.uname = member.gname = "root"
    if content is None:
        member.type = tarfile.DIRTYPE
        member.mode = 0o755
        archive.addfile(member)
    else:
        member.size = len(content)
        member.mode = 0o644
        archive.addfile(member, io.BytesIO(content))


def runtime_deb(out_dir: Path, version: str = RUNTIME_VERSION, platform: Platform = PC) -> Path:
    """Build ``axelera-runtime-<version>_<version>-1_<arch>.deb`` into ``out_dir`` and return its path.

    Needs the platform's gcc with a static C library, and dpkg-deb; UserError naming the Debian package of one that is
    missing.
    """
    _check_version(version)
    _tool(platform.compiler, platform.compiler_package)
    packer = _tool("dpkg-deb", "dpkg")
    architecture = platform.architecture
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir.resolve() / f"axelera-runtime-{version}_{version}-1_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="standin-") as scratch:
        root = Path(scratch) / "root"
        binaries = root / "usr/bin"
        inference = root / INFERENCE_PATH.lstrip("/")
        build_tools(binaries, version, platform, _PACKAGED_TOOLS)
        build_tools(inference.parent, version, platform, (inference.name,))
        model_file((root / MODEL_PATH.lstrip("/")).parent, version)
        control = root / "DEBIAN/control"
        control.parent.mkdir()
        control.write_text(_CONTROL.format(version=version, architecture=architecture), encoding="utf-8")
        _settle(root, executable={*binaries.iterdir(), inference})
        _run([packer, "--root-owner-group", "-Zgzip", "--build", str(root), str(path)], Path(scratch))
    return path


def build_tools(
    directory: Path,
    version: str = RUNTIME_VERSION,
    platform: Platform = PC,
    tools: tuple[str, ...] = COMMON_TOOLS,
) -> tuple[Path, ...]:
    """Build ``tools`` into ``directory``; static, so that they run wherever they are carried."""
    _check_version(version)
    compiler = _tool(platform.compiler, platform.compiler_package)
    directory.mkdir(parents=True, exist_ok=True)
    with _sources() as sources:
        for tool in tools:
            _compile(compiler, sources, _TOOLS[tool], directory / tool, version)
    return tuple(directory / tool for tool in tools)


def model_file(directory: Path, version: str = RUNTIME_VERSION) -> Path:
    """Write the stand-in model into ``directory``, compiled for ``version`` and with its golden answer."""
    _check_version(version)
    text = files("metis_provision.lab.standin").joinpath("tools", _MODEL).read_text(encoding="utf-8")
    model = json.loads(text)
    path = directory / _MODEL
    directory.mkdir(parents=True, exist_ok=True)
    golden = golden_answer(model["rows"], model["cols"], model["seed"])
    whole = {**model, "compiled_for": version, "golden": golden}
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return path


def golden_answer(rows: int, cols: int, seed: int) -> str:
    """What the card must answer to the model's first vector: little-endian 32-bit sums in hexadecimal digits."""
    return multiply(matrix(_numbers(rows * cols, seed), rows, cols), _numbers(cols, seed + 1)).hex()


def _numbers(count: int, seed: int) -> bytes:
    """Marsaglia's 32-bit xorshift, the top byte of each state, as ``fill`` in model.c."""
    found = bytearray()
    state = seed
    for _ in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        found.append(state >> 24)
    return bytes(found)


def _compile(compiler: str, sources: Path, names: tuple[str, ...], binary: Path, version: str) -> None:
    # Names relative to the sources keep the build directory out of the binary.
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s", "-Idriver"]
    command += [f'-DSTANDIN_VERSION="{version}"', "-o", str(binary), *(f"tools/{name}" for name in names)]
    _run(command, sources)


def _settle(root: Path, executable: set[Path]) -> None:
    """Give every file one date and a mode that does not depend on the umask."""
    for path in (*root.rglob("*"), root):
        path.chmod(0o755 if path.is_dir() or path in executable else 0o644)
        os.utime(path, (TIMESTAMP, TIMESTAMP))


def _sources() -> AbstractContextManager[Path]:
    return as_file(files("metis_provision.lab.standin"))


def _check_version(version: str) -> None:
    if _VERSION.fullmatch(version) is None:
        raise UserError(f"{version!r} is no version of a stand-in; give one such as {DRIVER_VERSION}.")


def _tool(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UserError(f"The stand-in runtime is built with {name}, which is missing; install {package}.")
    return path


def _run(command: list[str], directory: Path) -> str:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(TIMESTAMP), "LC_ALL": "C"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{Path(command[0]).name} failed for the stand-in: {last_line(done)}", ExitCode.FAILED)
    return done.stdout
