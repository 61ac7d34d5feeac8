"""The command that pins a release: what it fetches, whom it believes, what it writes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from web_server import Web

from metis_provision.catalog import releases as catalogue
from metis_provision.catalog.releases import PayloadKind, Release
from metis_provision.cli import main
from metis_provision.model.errors import UserError
from metis_provision.supply.pin import Place, Result, Row, Standing, Wish, pin_release
from metis_provision.supply.pins import PinnedBy, read_pins

DRIVER, PACKAGE, RUNTIME = PayloadKind.DRIVER_SOURCE, PayloadKind.DRIVER_DEB, PayloadKind.RUNTIME_DEB
SOURCE, VENDOR = b"the driver's source", b"the vendor's package"
TARBALL, DEB = "axelera-driver-1.6.2.tar.gz", "metis-dkms_1.6.2_all.deb"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def published(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """A vendor on this machine: source without a checksum, package with one, runtime nowhere."""
    web.file(f"tags/{TARBALL}", SOURCE)
    web.file(f"pool/{DEB}", VENDOR)
    real = catalogue.releases()["1.8.0"]
    payloads = {
        DRIVER: real.payloads[DRIVER].model_copy(update={"url": web.url(f"tags/{TARBALL}")}),
        PACKAGE: real.payloads[PACKAGE].model_copy(update={"url": web.url(f"pool/{DEB}"), "sha256": sha256(VENDOR)}),
        RUNTIME: real.payloads[RUNTIME],
    }
    known: dict[str, Release] = {"1.8.0": real.model_copy(update={"payloads": payloads})}
    for name in ("metis_provision.supply.versions.releases", "metis_provision.catalog.releases.releases"):
        monkeypatch.setattr(name, lambda: known)
    return web


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pin(**given: object) -> Result:
    return pin_release(Wish(**{"release": "1.8.0", **given}), lambda _file: lambda _done, _total: None)  # type: ignore[arg-type]


def rows(result: Result) -> dict[PayloadKind, Row]:
    return {row.kind: row for row in result.rows}


def standings(result: Result) -> dict[PayloadKind, Standing]:
    return {row.kind: row.standing for row in result.rows}


def test_what_the_catalogue_knows_is_pinned_without_a_word(published: Web) -> None:
    result = pin(only=(PACKAGE,))
    assert result.written
    found = read_pins(Path("pins/1.8.0.yml"))[PACKAGE]
    assert (found.sha256, found.size, found.pinned_by) == (sha256(VENDOR), len(VENDOR), PinnedBy.CATALOGUE)
    assert found.path.read_bytes() == VENDOR


def test_nothing_is_written_while_one_payload_is_vouched_for_by_nobody(published: Web) -> None:
    result = pin()
    assert not result.written
    assert standings(result) == {
        DRIVER: Standing.UNTRUSTED,
        PACKAGE: Standing.PINNED,
        RUNTIME: Standing.NOT_FOUND,
    }
    assert not Path("pins").exists()


def test_trust_on_first_use_is_said_and_written_down(published: Web) -> None:
    assert pin(trust=True).written
    assert read_pins(Path("pins/1.8.0.yml"))[DRIVER].pinned_by is PinnedBy.FIRST_USE


def test_a_checksum_of_the_operators_vouches_too(published: Web) -> None:
    assert pin(only=(DRIVER,), sha256={DRIVER: sha256(SOURCE)}).written
    assert read_pins(Path("pins/1.8.0.yml"))[DRIVER].pinned_by is PinnedBy.OPERATOR


def test_pinning_again_fetches_nothing_and_changes_nothing(published: Web) -> None:
    pin(trust=True)
    before, asked = Path("pins/1.8.0.yml").read_bytes(), len(published.asked)
    result = pin(only=(DRIVER, PACKAGE))
    assert standings(result) == {DRIVER: Standing.ALREADY, PACKAGE: Standing.ALREADY}
    assert Path("pins/1.8.0.yml").read_bytes() == before
    assert len(published.asked) == asked


def test_a_second_payload_joins_the_first(published: Web) -> None:
    pin(only=(PACKAGE,))
    pin(only=(DRIVER,), trust=True)
    assert set(read_pins(Path("pins/1.8.0.yml"))) == {PACKAGE, DRIVER}


def test_a_cache_that_was_lost_is_filled_again_with_the_same_bytes(published: Web) -> None:
    pin(only=(DRIVER,), trust=True)
    stored = read_pins(Path("pins/1.8.0.yml"))[DRIVER].path
    stored.unlink()
    pin(only=(DRIVER,))
    assert stored.read_bytes() == SOURCE


def test_a_publisher_that_changed_its_file_is_caught(published: Web) -> None:
    pin(only=(DRIVER,), trust=True)
    read_pins(Path("pins/1.8.0.yml"))[DRIVER].path.unlink()
    published.file(f"tags/{TARBALL}", b"the driver's s0urce")
    with pytest.raises(UserError, match=f"is not the {TARBALL} that is wanted"):
        pin(only=(DRIVER,), trust=True)


def test_the_wrong_bytes_are_refused_and_nothing_is_written(published: Web) -> None:
    published.file(f"pool/{DEB}", b"the vendor's pack4ge")
    with pytest.raises(UserError, match=f"its sha256 is .*, wanted {sha256(VENDOR)}"):
        pin(only=(PACKAGE,), trust=True)
    assert not Path("pins").exists()


def test_a_download_that_is_cut_short_pins_nothing(published: Web) -> None:
    published.cut(f"tags/{TARBALL}", SOURCE[:5], len(SOURCE))
    with pytest.raises(UserError, match=r"cut short: 5 of 19 bytes"):
        pin(only=(DRIVER,), trust=True)
    assert not Path("pins").exists()


def test_a_directory_given_is_looked_in_instead_of_the_web(published: Web, here: Path) -> None:
    (here / "usb").mkdir()
    (here / "usb" / DEB).write_bytes(VENDOR)
    result = pin(places=(Place("usb"),))
    assert standings(result) == {
        DRIVER: Standing.NOT_FOUND,
        PACKAGE: Standing.PINNED,
        RUNTIME: Standing.NOT_FOUND,
    }
    assert rows(result)[DRIVER].reason == f"usb/{TARBALL} does not exist: nothing was fetched"
    assert read_pins(result.file)[PACKAGE].place == f"usb/{DEB}"
    assert published.asked == []


def test_places_are_tried_in_order(published: Web, here: Path) -> None:
    (here / "empty").mkdir()
    result = pin(only=(PACKAGE,), places=(Place("empty"), Place(published.url("pool"))))
    assert rows(result)[PACKAGE].pin is not None
    assert published.asked == [f"/pool/{DEB}"]


def test_one_payload_can_be_given_itself(published: Web, here: Path) -> None:
    (here / "my-runtime_1.8.0-1_arm64.deb").write_bytes(b"runtime")
    result = pin(only=(RUNTIME,), places=(Place("my-runtime_1.8.0-1_arm64.deb", RUNTIME),), trust=True)
    found = read_pins(result.file)[RUNTIME]
    assert (found.file, found.version) == ("my-runtime_1.8.0-1_arm64.deb", "1.8.0")


def test_a_name_that_no_host_should_see_is_refused(published: Web, here: Path) -> None:
    (here / "my runtime;.deb").write_bytes(b"runtime")
    with pytest.raises(UserError, match=r"a payload cannot be called 'my runtime;\.deb'"):
        pin(places=(Place("my runtime;.deb", RUNTIME),), trust=True)


def test_a_release_that_came_out_later_is_pinned_by_its_versions(published: Web, here: Path) -> None:
    (here / "axelera-driver-1.7.0.tar.gz").write_bytes(SOURCE)
    result = pin(release="1.9.0", driver_version="1.7.0", places=(Place("."),), only=(DRIVER,), trust=True)
    assert result.file == Path("pins/1.9.0.yml")
    assert read_pins(result.file)[DRIVER].version == "1.7.0"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"release": "1.9.0"},
            "'1.9.0' is not a release of the catalogue; did you mean '1.8.0'?; for a newer one",
        ),
        ({"driver_version": "1.4.4"}, "metis_driver_version 1.4.4 does not belong to metis_release 1.8.0"),
        ({"only": (RUNTIME,)}, "runtime-deb of 1.8.0 was not found: nobody has published where it is"),
        ({"sha256": {RUNTIME: "a" * 64}}, "runtime-deb of 1.8.0 was not found"),
        ({"sha256": {PACKAGE: "a" * 64}}, "the catalogue has"),
        ({"only": (PACKAGE,), "places": (Place("nowhere"),)}, f"nowhere/{DEB} does not exist"),
        (
            {"release": "1.9.0", "driver_version": "1.7.0", "only": (RUNTIME,)},
            "which runtime-deb of 1.9.0 is not known: name it with --runtime-version",
        ),
    ],
)
def test_what_cannot_be_pinned_is_told(published: Web, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        pin(**given)
    assert sentence in str(raised.value)
    assert not Path("pins").exists()


def test_another_checksum_or_version_than_the_pinned_is_refused(published: Web) -> None:
    pin(only=(DRIVER,), trust=True)
    with pytest.raises(UserError, match=r"pins sha256 .* of driver-source, and .* is asked for: if that is right, "):
        pin(only=(DRIVER,), sha256={DRIVER: "a" * 64})


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "metis_provision.cli", "pin", *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, env={**os.environ})


def test_the_command_shows_and_writes(here: Path) -> None:
    (here / TARBALL).write_bytes(SOURCE)
    done = command("1.8.0", "--from", f"driver-source={TARBALL}", "--only", "driver-source", "--trust")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "driver-source 1.6.2",
        f"  file    {TARBALL}, {len(SOURCE)} bytes",
        f"  sha256  {sha256(SOURCE)}",
        f"  from    {TARBALL}",
        "  pinned by NOBODY BUT ITS SOURCE (trust on first use)",
        "pinned in pins/1.8.0.yml",
    ]


def test_without_trust_the_command_shows_and_refuses(here: Path) -> None:
    (here / TARBALL).write_bytes(SOURCE)
    done = command("1.8.0", "--from", ".", "--json")
    assert done.returncode == 4
    document = json.loads(done.stdout)
    assert document["written"] is False
    assert [row["standing"] for row in document["payloads"]] == ["untrusted", "not-found", "not-found"]
    assert document["payloads"][0]["sha256"] == sha256(SOURCE)
    assert done.stderr.startswith("metis-provision: nothing was pinned: driver-source could be anything")
    assert not Path("pins").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["../x"], "VERSION '../x' is not a version"),
        (["1.8.0", "--sha256", "driver-source=SKIP"], "is SKIP, which would install whatever arrives"),
        (["1.8.0", "--sha256", "driver-source=abc"], "is not a sha256"),
        (["1.8.0", "--sha256", "a" * 64], "is not of the form PAYLOAD=SHA256"),
        (["1.8.0", "--sha256", f"firmware={'a' * 64}"], "is not of the form PAYLOAD=SHA256"),
        (["1.8.0", "--from", "ftp://x"], "--from: 'ftp://x' is neither"),
        (["1.8.0", "--from", "driver-source="], "--from: a place is missing"),
        (["1.8.0", "--from", "nowhere"], "--from: nowhere does not exist"),
        (["1.8.0", "--only", "firmware"], "'firmware' is not one of"),
        (["1.8.0", "--driver-version", "a b"], "--driver-version 'a b' is not a version"),
        ([], "Missing argument 'VERSION'"),
    ],
)
def test_bad_input_is_one_sentence_and_status_4(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["metis-provision", "pin", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (4, "")
    assert sentence in said.err
