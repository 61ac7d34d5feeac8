"""Pins files: read strictly, appended to without touching what is there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metis_provision.catalog.releases import PayloadKind
from metis_provision.model.errors import UserError
from metis_provision.supply.pins import Pin, PinnedBy, add_pins, pins_path, read_pins

DRIVER, PACKAGE, RUNTIME = PayloadKind.DRIVER_SOURCE, PayloadKind.DRIVER_DEB, PayloadKind.RUNTIME_DEB


def pin(**given: object) -> Pin:
    fields = {
        "version": "1.6.2",
        "file": "axelera-driver-1.6.2.tar.gz",
        "size": 12,
        "sha256": "a" * 64,
        "place": "https://example.org/x",
        "pinned_by": PinnedBy.CATALOGUE,
    }
    return Pin.model_validate({**fields, **given})


def test_what_is_written_can_be_read_and_reviewed(tmp_path: Path) -> None:
    path = pins_path(str(tmp_path / "pins"), "1.8.0")
    add_pins(path, "1.8.0", {DRIVER: pin()})
    assert path == tmp_path / "pins" / "1.8.0.yml"
    assert read_pins(path) == {DRIVER: pin()}
    assert path.read_text() == (
        "# Payloads of release 1.8.0, by `metis-provision pin`: a run installs these bytes and no others.\n"
        "# Comments stay. To pin something else, remove its entry and pin again; then look at the difference.\n"
        "\n"
        "driver-source:\n"
        "  version: 1.6.2\n"
        "  file: axelera-driver-1.6.2.tar.gz\n"
        "  size: 12\n"
        f"  sha256: {'a' * 64}\n"
        "  from: https://example.org/x\n"
        "  pinned_by: catalogue\n"
    )


@pytest.mark.parametrize("sha256", ["1" * 64, "0e" + "1" * 62, "1e" + "0" * 62])
@pytest.mark.parametrize("version", ["1.6", "1", "1.6.2", "1e5"])
def test_what_yaml_could_take_for_a_number_stays_text(tmp_path: Path, sha256: str, version: str) -> None:
    wanted = {DRIVER: pin(sha256=sha256, version=version)}
    add_pins(tmp_path / "p.yml", "1.8.0", wanted)
    assert read_pins(tmp_path / "p.yml") == wanted


def test_what_is_there_stays_byte_by_byte_with_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "1.8.0.yml"
    add_pins(path, "1.8.0", {DRIVER: pin()})
    reviewed = path.read_text().replace("pinned_by: cat", "# checked by Ada\n  pinned_by: cat") + "# the end\n"
    path.write_text(reviewed)
    add_pins(path, "1.8.0", {DRIVER: pin(), RUNTIME: pin(file="r.deb", sha256="b" * 64)})
    assert path.read_text().startswith(reviewed)
    assert list(read_pins(path)) == [DRIVER, RUNTIME]
    before = path.stat().st_mtime_ns, path.stat().st_ino
    add_pins(path, "1.8.0", {DRIVER: pin()})
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_another_pin_for_the_same_payload_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "1.8.0.yml"
    add_pins(path, "1.8.0", {DRIVER: pin()})
    with pytest.raises(UserError, match="pins another driver-source by now"):
        add_pins(path, "1.8.0", {DRIVER: pin(sha256="b" * 64)})
    assert read_pins(path) == {DRIVER: pin()}


def test_pins_that_are_written_at_once_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "pins" / "1.8.0.yml"
    wanted = {DRIVER: pin(), PACKAGE: pin(file="p.deb"), RUNTIME: pin(file="r.deb")}
    threads = [threading.Thread(target=add_pins, args=(path, "1.8.0", {kind: one})) for kind, one in wanted.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_pins(path) == wanted
    assert [found.name for found in path.parent.iterdir()] == ["1.8.0.yml"]


def test_no_file_pins_nothing(tmp_path: Path) -> None:
    assert read_pins(tmp_path / "absent.yml") == {}


def test_an_empty_or_commented_file_pins_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("# nothing yet\n")
    assert read_pins(tmp_path / "p.yml") == {}


ENTRY = """\
driver-source:
  version: 1.6.2
  file: x.tar.gz
  size: 12
  sha256: {sha256}
  from: here
  pinned_by: first-use
""".format(sha256="a" * 64)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ENTRY.replace("a" * 64, "SKIP"), "driver-source.sha256: is SKIP, which would install whatever arrives"),
        (ENTRY.replace("a" * 64, "abc"), "driver-source.sha256: is not a sha256"),
        (ENTRY.replace(f"  sha256: {'a' * 64}\n", ""), "driver-source.sha256: Field required"),
        (ENTRY.replace("  size: 12\n", ""), "driver-source.size: Field required"),
        (ENTRY.replace("size: 12", "size: -1"), "driver-source.size: Input should be greater than 0"),
        (ENTRY.replace("x.tar.gz", "../x"), "driver-source.file: String should match pattern"),
        (ENTRY.replace("x.tar.gz", "-rf"), "driver-source.file: String should match pattern"),
        (ENTRY.replace("first-use", "me"), "driver-source.pinned_by: Input should be 'catalogue'"),
        (ENTRY.replace("driver-source", "driver"), "Input should be 'driver-source'"),
        (ENTRY + "  sha265: x\n", "driver-source.sha265: Extra inputs are not permitted"),
        (ENTRY + ENTRY, "driver-source is there twice"),
        (ENTRY + f"  sha256: {'b' * 64}\n", "sha256 is there twice"),
        ("<<<<<<< HEAD\n" + ENTRY, "is not a pins file"),
        ("driver-source: [", "is not a pins file"),
        ("- 1\n", "Input should be a valid dictionary"),
        ("x", "Input should be a valid dictionary"),
        ("!!python/object/apply:os.system ['true']", "is not a pins file"),
        ("? [1]\n: 2\n", "is not a pins file"),
        ("\x00", "is not a pins file"),
    ],
)
def test_a_pins_file_that_is_wrong_is_one_sentence_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "1.8.0.yml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_pins(path)
    assert str(path) in str(raised.value)
    assert sentence in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_file_that_is_not_text_or_not_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.yml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "2.yml").mkdir()
    for name, sentence in (("1.yml", "is not UTF-8"), ("2.yml", "cannot be read")):
        with pytest.raises(UserError, match=sentence):
            read_pins(tmp_path / name)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "pins").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        add_pins(tmp_path / "pins" / "1.8.0.yml", "1.8.0", {DRIVER: pin()})
