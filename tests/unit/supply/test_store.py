"""The cache holds whole and right files only, whatever a source, a disk or another process does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_server import Web

from metis_provision.model.errors import ExitCode, UserError
from metis_provision.supply import store
from metis_provision.supply.transfer import NotThere, TransferFailed

CONTENT = os.urandom(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetch(place: str, **given: object) -> store.Stored:
    wanted: dict[str, object] = {"sha256": SHA256, "size": len(CONTENT), "patience": 5.0}
    return store.fetch(place, "x.tar.gz", **{**wanted, **given})  # type: ignore[arg-type]


def kept(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())


def test_a_file_from_the_web_is_kept_by_its_digest(web: Web, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    stored = fetch(web.file("x", CONTENT), progress=lambda done, total: seen.append((done, total)))
    assert stored == store.Stored(cache / SHA256 / "x.tar.gz", len(CONTENT), SHA256)
    assert stored.path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert store.find(SHA256, "x.tar.gz") == stored


def test_a_file_from_a_path_is_kept_too(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert fetch(str(tmp_path / "x")).path.read_bytes() == CONTENT


def test_redirects_are_followed(web: Web) -> None:
    web.file("there", CONTENT)
    assert fetch(web.status("here", 302, Location=web.url("there"))).sha256 == SHA256


def test_a_proxy_of_the_environment_is_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.address)
    web.file("http://vendor.invalid/x", CONTENT)
    assert fetch("http://vendor.invalid/x").sha256 == SHA256
    assert web.asked == ["http://vendor.invalid/x"]


def test_a_chunked_answer_with_its_end_is_whole_without_a_length(web: Web) -> None:
    assert fetch(web.chunked("x", CONTENT, ended=True), sha256=None, size=None).sha256 == SHA256


REFUSED = [
    (lambda web: web.cut("x", CONTENT[:-1], len(CONTENT)), {}, "was cut short: 699999 of 700000 bytes came"),
    (lambda web: web.cut("x", CONTENT[:-1], len(CONTENT)), {"sha256": None, "size": None}, "was cut short"),
    (lambda web: web.cut("x", CONTENT[:-1], None), {}, "has 699999 bytes, and x.tar.gz should have 700000"),
    (lambda web: web.cut("x", CONTENT, None), {"sha256": None, "size": None}, "does not say how long the file is"),
    (lambda web: web.chunked("x", CONTENT, ended=False), {}, "the connection broke"),
    (lambda web: web.file("x", CONTENT[:-1] + b"!"), {}, "is not the x.tar.gz that is wanted: its sha256 is"),
    (lambda web: web.file("x", CONTENT + b"!"), {}, "has 700001 bytes, and x.tar.gz should have 700000"),
    (lambda web: web.file("x", b""), {"sha256": None, "size": None}, "is empty"),
    (lambda web: web.file("x", b"<html>", kind="text/html; charset=utf-8"), {}, "answers with a web page"),
    (lambda web: web.stalling("x", CONTENT), {"patience": 0.2}, "no byte came for too long"),
    (lambda web: web.url("gone"), {}, "the server answers 404 Not Found: there is no such file"),
    (lambda web: web.status("x", 410), {}, "there is no such file"),
    (lambda web: web.status("x", 403), {}, "it wants a login"),
    (lambda web: web.status("x", 503), {}, "the server answers 503"),
    (lambda web: web.status("x", 302, Location="file:///etc/passwd"), {}, "the server answers 302"),
    (lambda web: "http://name.invalid/x", {}, "its name cannot be resolved: no network here, or a proxy is needed"),
    (lambda web: "absent/x", {}, "absent/x does not exist"),
    (lambda web: "/", {}, "it cannot be read (Is a directory)"),
    (lambda web: web.address.replace("http", "https"), {}, "it cannot be read"),
]


@pytest.mark.parametrize(("place", "given", "sentence"), REFUSED)
def test_what_does_not_arrive_whole_and_right_is_not_kept(
    web: Web, cache: Path, place: object, given: dict[str, object], sentence: str
) -> None:
    with pytest.raises((TransferFailed, store.WrongPayload)) as raised:
        fetch(place(web), **given)  # type: ignore[operator]
    assert sentence in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert raised.value.exit_code is ExitCode.FAILED
    assert kept(cache) == []


def test_an_answer_that_is_not_http_is_told(web: Web, cache: Path) -> None:
    def answer(request: object) -> None:
        request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")  # type: ignore[attr-defined]

    with pytest.raises(TransferFailed, match=r"does not speak HTTP|connection broke"):
        fetch(web.serve("x", answer))
    assert kept(cache) == []


def test_a_refused_connection_is_told(nobody_listens: str, web: Web) -> None:
    with pytest.raises(TransferFailed, match=r"nobody answers there \(Connection refused\)"):
        fetch(nobody_listens)


def test_encryption_is_not_given_up_by_a_redirect(web: Web) -> None:
    from email.message import Message
    from urllib.request import Request

    from metis_provision.supply.transfer import _KeepsEncrypted

    with pytest.raises(TransferFailed, match="leads to an address without encryption"):
        _KeepsEncrypted().redirect_request(
            Request("https://a.invalid/x"),
            None,
            302,
            "",
            Message(),
            "http://b.invalid/x",  # type: ignore[arg-type]
        )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("ftp://example.org/x", "neither an http:// or https:// address nor a path"),
        ("file:///etc/passwd", "neither an http:// or https:// address nor a path"),
        ("https://me:secret@example.org/x", "holds a login, which would be written down"),
        ("https://", "is not an address"),
        ("https://example.org:port/x", "is not an address"),
        ("https://example.org/a b", "is not an address"),
        ("https://[::1/x", "is not an address"),
    ],
)
def test_places_that_cannot_be_one_are_the_operators_mistake(place: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        fetch(place)
    assert sentence in str(raised.value)
    assert "secret" not in str(raised.value)
    assert raised.value.exit_code is ExitCode.BAD_INPUT


def test_a_404_can_be_told_apart(web: Web) -> None:
    with pytest.raises(NotThere):
        fetch(web.url("gone"))


@pytest.fixture
def small_disk(cache: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a file system of 64 KiB")
    cache.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", cache], check=True)
    yield cache
    subprocess.run(["umount", "--lazy", cache], check=True)


def test_a_full_disk_is_told_and_nothing_stays(web: Web, small_disk: Path) -> None:
    with pytest.raises(TransferFailed, match="the disk of this machine is full"):
        fetch(web.file("x", CONTENT))
    assert kept(small_disk) == []


def test_a_cache_that_cannot_be_written_is_told(web: Web, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"in the way")
    with pytest.raises(TransferFailed, match=r"the cache .* cannot be used"):
        fetch(web.file("x", CONTENT))


def test_a_damaged_copy_is_thrown_away(web: Web) -> None:
    stored = fetch(web.file("x", CONTENT))
    stored.path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert store.find(SHA256, "x.tar.gz") is None
    assert not stored.path.exists()


def test_what_a_killed_process_left_is_cleared_away(web: Web, cache: Path) -> None:
    program = (
        "import os, sys\n"
        "from metis_provision.supply import store\n"
        "def die(done, total): os.kill(os.getpid(), 9)\n"
        "store.fetch(sys.argv[1], 'x.tar.gz', sha256=None, size=None, progress=die)\n"
    )
    url = web.file("x", CONTENT)
    assert subprocess.run([sys.executable, "-c", program, url], check=False).returncode == -9
    assert len(kept(cache)) == 1
    fetch(url)
    assert kept(cache) == [f"{SHA256}/x.tar.gz"]


def test_two_at_once_take_turns(web: Web, cache: Path) -> None:
    url = web.file("x", CONTENT)
    threads = [threading.Thread(target=fetch, args=(url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(cache) == [f"{SHA256}/x.tar.gz"]
