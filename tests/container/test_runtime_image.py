"""Getting the image into real podman: from an archive, from a registry; what is not the pinned one is not kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metis_provision.lab.standin import vendor
from metis_provision.model.artifact import ImageRuntime, InstalledRuntime, Payload, RuntimeKind
from metis_provision.operations import commands

pytestmark = pytest.mark.container

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
WRONG = "0" * 64


class Registry(SimpleHTTPRequestHandler):
    """Answers as a registry does for the one image in ``directory``, whatever digest of a manifest is asked for."""

    protocol_version = "HTTP/1.1"

    def translate_path(self, path: str) -> str:
        kind, _, name = path.rpartition("/")
        found = "manifest.json" if kind.endswith("/manifests") else name.removeprefix("sha256:")
        return os.fspath(Path(self.directory) / (found or "version"))

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        return MANIFEST if os.fspath(path).endswith("manifest.json") else "application/octet-stream"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.fixture(scope="module")
def archive(containers: None, tmp_path_factory: pytest.TempPathFactory) -> vendor.ImageArchive:
    return vendor.image_archive(tmp_path_factory.mktemp("image"))


@pytest.fixture
def runtime(archive: vendor.ImageArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageRuntime]:
    """The image as it is handed over; gone from podman's store before and after."""
    monkeypatch.setattr(commands, "host_path", lambda payload: payload.source)
    copy = tmp_path / archive.path.name
    shutil.copyfile(archive.path, copy)
    payload = Payload("runtime", "1.8.0", str(copy), hashlib.sha256(copy.read_bytes()).hexdigest())
    forget(archive.identity)
    yield ImageRuntime("1.8.0", "podman", archive.identity, payload)
    forget(archive.identity)


def forget(identity: str) -> None:
    subprocess.run(["podman", "image", "rm", "--force", "--ignore", identity], check=True, capture_output=True)


def has(identity: str) -> bool:
    return subprocess.run(["podman", "image", "exists", identity], check=False).returncode == 0


def get(runtime: ImageRuntime, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", commands.image_job(runtime)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def remove(runtime: ImageRuntime) -> subprocess.CompletedProcess[str]:
    gone = InstalledRuntime(RuntimeKind.IMAGE, runtime.reference, runtime.engine)
    script = commands.runtime_gone_job(commands.RuntimeChange(remove=(gone,)))
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)


def test_the_archive_is_loaded_once_and_not_kept(runtime: ImageRuntime) -> None:
    done = get(runtime)
    assert done.returncode == 0, done.stderr
    assert has(runtime.reference)
    assert runtime.archive is not None
    assert not Path(runtime.archive.source).exists()
    assert get(runtime).returncode == 0
    assert remove(runtime).returncode == 0
    assert not has(runtime.reference)
    assert remove(runtime).returncode == 0


def test_an_archive_with_another_image_is_refused_and_not_kept(runtime: ImageRuntime) -> None:
    done = get(replace(runtime, reference=WRONG))
    assert done.returncode == 1
    assert f"the archive holds image {runtime.reference}, and metis_runtime_image asks for {WRONG}" in done.stderr
    assert not has(runtime.reference)


def test_an_image_that_was_there_before_a_mistake_stays(runtime: ImageRuntime, tmp_path: Path) -> None:
    assert runtime.archive is not None
    copy = Path(shutil.copyfile(runtime.archive.source, tmp_path / "copy.tar"))
    assert get(runtime).returncode == 0
    assert get(replace(runtime, reference=WRONG, archive=replace(runtime.archive, source=str(copy)))).returncode == 1
    assert has(runtime.reference)


def test_an_archive_that_is_not_the_pinned_one_is_not_loaded(runtime: ImageRuntime) -> None:
    assert runtime.archive is not None
    with Path(runtime.archive.source).open("ab") as stream:
        stream.write(b"\0")
    done = get(runtime)
    assert done.returncode == 1
    assert "is not the pinned payload" in done.stderr
    assert not has(runtime.reference)


def test_an_archive_that_is_none_is_said_to_be_none(runtime: ImageRuntime, tmp_path: Path) -> None:
    path = tmp_path / "noise.tar"
    path.write_bytes(b"noise")
    noise = Payload("runtime", "1.8.0", str(path), hashlib.sha256(b"noise").hexdigest())
    done = get(replace(runtime, archive=noise))
    assert done.returncode == 1
    assert "podman could not load the image: its reason is above" in done.stderr


def test_an_engine_that_is_missing_is_named(runtime: ImageRuntime) -> None:
    done = get(replace(runtime, engine="docker"), PATH="/nowhere")
    assert done.returncode == 1
    assert "docker is not installed: install it, or set metis_runtime_engine" in done.stderr


@contextmanager
def registry(directory: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Serve the image in ``directory``; gives its name there and a configuration by which podman goes without TLS."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Registry, directory=os.fspath(directory))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        place = f"127.0.0.1:{server.server_address[1]}"
        conf = tmp_path / "registries.conf"
        conf.write_text(f'[[registry]]\nlocation = "{place}"\ninsecure = true\n')
        try:
            yield f"{place}/axelera/runtime", str(conf)
        finally:
            server.shutdown()
            thread.join()


def test_an_image_is_pulled_by_its_digest_and_no_other_is_taken(runtime: ImageRuntime, tmp_path: Path) -> None:
    assert get(runtime).returncode == 0
    directory = tmp_path / "registry"
    save = ["podman", "save", "--quiet", "--format", "docker-dir", "--output", str(directory), runtime.reference]
    subprocess.run(save, check=True, capture_output=True)
    forget(runtime.reference)
    digest = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
    with registry(directory, tmp_path) as (name, conf):
        mistaken = replace(runtime, archive=None, reference=f"{name}@sha256:{WRONG}")
        done = get(mistaken, CONTAINERS_REGISTRIES_CONF=conf)
        assert done.returncode == 1
        assert "podman could not pull" in done.stderr
        assert "digest" in done.stderr
        assert not has(runtime.reference)
        pulled = replace(mistaken, reference=f"{name}@sha256:{digest}")
        done = get(pulled, CONTAINERS_REGISTRIES_CONF=conf)
        assert done.returncode == 0, done.stderr
    assert has(pulled.reference)
    assert has(runtime.reference)
    assert remove(pulled).returncode == 0
    assert not has(runtime.reference)
