"""Stand-ins for where the vendor's runtime comes from: an apt repository, an index of pip, a container image.

Of the same shape as the vendor's, which a build machine cannot reach, and holding the stand-in tools.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePath

from metis_provision.lab.apt import read_apt_setup
from metis_provision.lab.bootstrap import bootstrap, mmdebstrap_command
from metis_provision.lab.cache import DAY, obtain
from metis_provision.lab.image import RELEASE
from metis_provision.lab.process import last_line
from metis_provision.lab.standin.source import (
    INFERENCE_PATH,
    RUNTIME_VERSION,
    TIMESTAMP,
    build_tools,
    model_file,
    runtime_deb,
)
from metis_provision.model.errors import ExitCode, UserError

SUITE = "standin"
IMAGE_PACKAGES = ("base-files", "dash", "kmod", "pciutils")
"""What the runtime calls, and a shell to call it with."""
MAX_AGE = 30 * DAY
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_SIGNER = "metis-provision stand-in <standin@metis-provision.invalid>"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key made for one repository: its public half in ``path``, armoured, and its home for signing."""

    path: Path
    fingerprint: str
    home: Path


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """An image as ``podman save`` writes it, and its id."""

    path: Path
    identity: str


def signing_key(directory: Path) -> SigningKey:
    """Make a key without a passphrase in ``directory``."""
    home = directory / "gnupg"
    home.mkdir(parents=True, mode=0o700)
    with _agent(home):
        _gpg(home, "--passphrase", "", "--quick-generate-key", _SIGNER, "ed25519", "sign", "never")
        listing = _gpg(home, "--with-colons", "--list-keys")
        path = directory / "axelera.asc"
        path.write_text(_gpg(home, "--armor", "--export"), encoding="ascii")
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
    return SigningKey(path, fingerprint, home)


def apt_repository(directory: Path, key: SigningKey, versions: tuple[str, ...] = (RUNTIME_VERSION,)) -> Path:
    """Write a signed repository with a package of each version into ``directory`` and return that."""
    pool = directory / "pool/main"
    stanzas = [_stanza(directory, runtime_deb(pool, version)) for version in versions]
    architecture = _ARCHITECTURES[platform.machine()]
    index = f"main/binary-{architecture}/Packages"
    suite = directory / "dists" / SUITE
    (suite / index).parent.mkdir(parents=True, exist_ok=True)
    contents = {index: "\n".join(stanzas).encode(), f"{index}.gz": b""}
    contents[f"{index}.gz"] = gzip.compress(contents[index], mtime=TIMESTAMP)
    for name, content in contents.items():
        (suite / name).write_bytes(content)
    sums = "".join(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in contents.items())
    (suite / "Release").write_text(
        f"Origin: metis-provision stand-in\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: {architecture}\n"
        f"Components: main\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n{sums}",
        encoding="utf-8",
    )
    with _agent(key.home):
        (suite / "InRelease").unlink(missing_ok=True)
        _gpg(key.home, "--clearsign", "--output", str(suite / "InRelease"), str(suite / "Release"))
    return directory


def _stanza(directory: Path, package: Path) -> str:
    """One entry of Packages: the package's own fields and where it lies."""
    fields = _run(["dpkg-deb", "--field", str(package)])
    content = package.read_bytes()
    return (
        f"{fields}Filename: {package.relative_to(directory)}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


def wheel(directory: Path, version: str = RUNTIME_VERSION) -> Path:
    """Write the wheel ``axelera_rt`` with both tools (PEP 427) into ``directory``; the same bytes every time."""
    directory.mkdir(parents=True, exist_ok=True)
    tag = f"py3-none-manylinux_2_17_{platform.machine()}"
    name = f"axelera_rt-{version}"
    with tempfile.TemporaryDirectory(prefix="standin-") as scratch:
        members = {
            f"{name}.data/scripts/{tool.name}": tool.read_bytes() for tool in build_tools(Path(scratch), version)
        }
    members["axelera_rt/__init__.py"] = f'"""Stand-in of the lab."""\n\n__version__ = "{version}"\n'.encode()
    members[f"{name}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: axelera-rt\nVersion: {version}\nRequires-Python: >=3.10,<3.14\n"
        "Summary: stand-in for the Axelera runtime, for virtual cards only\n"
    ).encode()
    members[f"{name}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: metis-provision\nRoot-Is-Purelib: false\nTag: {tag}\n"
    ).encode()
    record = f"{name}.dist-info/RECORD"
    members[record] = "".join([*(_record(path, data) for path, data in members.items()), f"{record},,\n"]).encode()
    path = directory / f"{name}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in sorted(members.items()):
            info = zipfile.ZipInfo(member, date_time=(2024, 1, 1, 0, 0, 0))
            # pip makes executable what is a regular file of a mode that is.
            info.external_attr = (0o100755 if "/scripts/" in member else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def _record(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
    return f"{path},sha256={digest},{len(data)}\n"


def index(directory: Path, versions: tuple[str, ...] = (RUNTIME_VERSION,)) -> Path:
    """Write an index of wheels (PEP 503) into ``directory`` and return that; its URL ends in ``/simple``."""
    project = directory / "simple/axelera-rt"
    links = []
    for version in versions:
        path = wheel(directory / "wheels", version)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        links.append(f'<a href="../../wheels/{path.name}#sha256={digest}">{path.name}</a><br>')
    project.mkdir(parents=True, exist_ok=True)
    (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>\n")
    return directory


def requirements(directory: Path, *wheels: Path) -> Path:
    """Write requirements with hashes for ``wheels``, as pip-compile does, into ``directory``."""
    path = directory / "requirements.txt"
    lines = []
    for wheel_path in wheels:
        name, version, *_ = wheel_path.name.split("-")
        digest = hashlib.sha256(wheel_path.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n")
    path.write_text("".join(lines))
    return path


def image_archive(directory: Path, version: str = RUNTIME_VERSION) -> ImageArchive:
    """Write an image with tools, inference.py, kmod and pciutils into ``directory``; needs mmdebstrap and podman."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"axelera-runtime-{version}.tar"
    path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="standin-") as scratch:
        root = Path(scratch) / "root"
        shutil.copytree(_image_root(), root, symlinks=True, ignore=_devices)
        build_tools(root / "usr/bin", version)
        build_tools(root / PurePath(INFERENCE_PATH).parent.relative_to("/"), version, tools=("inference.py",))
        model_file(root / "usr/share/axelera/models", version)
        packed = Path(scratch) / "root.tar"
        _run(["tar", "--create", "--numeric-owner", "--file", str(packed), "--directory", str(root), "."])
        name = f"localhost/axelera-runtime:{version}"
        identity = _run(["podman", "import", "--quiet", str(packed), name]).split()[-1].removeprefix("sha256:")
    _run(["podman", "save", "--quiet", "--format", "docker-archive", "--output", str(path), name])
    _run(["podman", "image", "rm", name])
    return ImageArchive(path, identity)


class Way(StrEnum):
    """A way by which the stand-in runtime can be had."""

    APT = "apt"
    PIP = "pip"
    CONTAINER = "container"


def offer(directory: Path, url: str, ways: Iterable[Way] = tuple(Way)) -> dict[str, dict[str, object]]:
    """Build what ``ways`` need and a model into ``directory``, which hosts reach at ``url``; return settings by way."""
    model = model_file(directory / "model")
    common: dict[str, object] = {
        "metis_runtime_version": RUNTIME_VERSION,
        "metis_model_release": RUNTIME_VERSION,
        "metis_model_operations": json.loads(model.read_text(encoding="utf-8"))["operations_per_inference"],
        **_pin("model", model),
    }
    makers: dict[Way, Callable[[Path, str], Mapping[str, object]]] = {
        Way.APT: _offer_apt,
        Way.PIP: _offer_pip,
        Way.CONTAINER: _offer_image,
    }
    return {
        way.value: {"metis_runtime": way.value, **common, **makers[way](directory / way.value, f"{url}/{way}")}
        for way in ways
    }


def _offer_apt(directory: Path, url: str) -> dict[str, str]:
    key = signing_key(directory / "key")
    apt_repository(directory, key)
    return {
        "metis_runtime_url": url,
        "metis_runtime_suite": SUITE,
        "metis_runtime_key": str(key.path),
        "metis_runtime_key_fingerprint": key.fingerprint,
    }


def _offer_pip(directory: Path, url: str) -> dict[str, object]:  # noqa: ARG001 - pip takes no http from other machines
    wheels = [wheel(directory)]
    return {"metis_runtime_wheels": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}}


def _offer_image(directory: Path, url: str) -> dict[str, str]:  # noqa: ARG001 - the archive is handed over
    image = image_archive(directory)
    return {"metis_runtime_image": f"sha256:{image.identity}", **_pin("runtime", image.path)}


def _pin(name: str, path: Path) -> dict[str, str]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {f"metis_{name}_source": str(path), f"metis_{name}_sha256": digest}


def _image_root() -> Path:
    setup = read_apt_setup()
    recipe = {"release": RELEASE, "packages": IMAGE_PACKAGES, "sources": setup.sources(RELEASE), "layout": 1}
    return obtain("runtime-image", recipe, _build_image_root, max_age=MAX_AGE) / "root"


def _build_image_root(directory: Path) -> None:
    setup = read_apt_setup()
    root = directory / "root"
    command = mmdebstrap_command(
        RELEASE,
        root,
        variant="extract",
        packages=IMAGE_PACKAGES,
        sources=setup.sources(RELEASE),
        apt_options=setup.options,
    )
    bootstrap(command, "the stand-in runtime image")
    for rest in ("etc/apt", "var/lib/apt", "var/cache/apt", "usr/share/doc"):
        shutil.rmtree(root / rest, ignore_errors=True)


def _devices(directory: str, names: list[str]) -> list[str]:
    """An engine makes its own nodes under /dev."""
    return names if Path(directory).name == "dev" else []


@contextmanager
def served(directory: Path, port: int = 0) -> Iterator[int]:
    """Serve ``directory`` over HTTP on the loopback while the context lasts; gives the port, any free one for 0."""
    handler = partial(_QuietHandler, directory=os.fspath(directory))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Nothing of it belongs on a terminal."""


@contextmanager
def _agent(home: Path) -> Iterator[None]:
    try:
        yield
    finally:
        _run(["gpgconf", "--homedir", str(home), "--kill", "all"])


def _gpg(home: Path, *arguments: str) -> str:
    return _run(["gpg", "--homedir", str(home), "--batch", "--no-tty", "--pinentry-mode", "loopback", *arguments])


def _run(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        raise UserError(f"The stand-ins of the vendor's repositories are made with {command[0]}, which is missing.")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{command[0]} failed for the stand-in: {last_line(done)}", ExitCode.FAILED)
    return done.stdout
