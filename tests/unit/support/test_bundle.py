"""The archive: the same bytes for the same evidence, nothing unmasked in it, and it says what is missing."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metis_provision.model.settings import Settings
from metis_provision.support.bundle import bundle
from metis_provision.support.evidence import texts
from metis_provision.support.look import Look, look_command, read_look
from metis_provision.support.mask import Masker

SURVEYS = Path(__file__).parents[2] / "fixtures" / "surveys"
WHEN = datetime(2026, 11, 21, 6, 30, tzinfo=UTC)
NO_DRIVER = {"driver": "none"}


def contents(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {entry.name: opened.extractfile(entry).read().decode() for entry in opened}


def found(survey: str = "debian13-provisioned", look: Look | None = None, **settings: object) -> dict[str, str]:
    lines = tuple((SURVEYS / f"{survey}.txt").read_text(encoding="utf-8").splitlines()) if survey else ()
    made = Settings.model_validate({**NO_DRIVER, **settings})
    return texts("pi", made, lines, look or Look({"pci": "x\n"}, complete=True), WHEN, {"pyinfra": "3"})


def test_the_same_evidence_makes_the_same_bytes():
    first, second = (bundle(found(), Masker(hosts=["lab"])) for _ in range(2))
    assert first == second
    assert gzip.decompress(first)[:13] == b"metis-support"


def test_entries_are_in_order_and_belong_to_nobody():
    with tarfile.open(fileobj=io.BytesIO(bundle({"b.txt": "2", "a.txt": "1"}, Masker()))) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == [f"metis-support/{name}" for name in ("README.txt", "a.txt", "b.txt")]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
        (0, 0, "", "", 315_532_800)
    }


def test_every_text_is_masked_and_the_readme_counts():
    archive = contents(bundle({"a.txt": "10.0.0.1 aa:bb:cc:dd:ee:ff 0001:01:00.0", "b.txt": "10.0.0.1"}, Masker()))
    assert archive["metis-support/a.txt"] == "<ipv4-1> <mac-1> 0001:01:00.0"
    assert archive["metis-support/b.txt"] == "<ipv4-1>"
    assert "1 ipv4, 1 mac" in archive["metis-support/README.txt"]
    assert "a.txt" in archive["metis-support/README.txt"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "README.txt", "a/b", ""])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        bundle({name: "x"}, Masker())


def test_bytes_of_a_host_that_are_no_text_do_not_stop_it():
    assert contents(bundle({"a.txt": "x\udc80"}, Masker()))["metis-support/a.txt"] == "x\\udc80"


def test_everything_of_a_host():
    files = found()
    assert files.keys() >= {"survey.txt", "verdict.json", "settings.json", "controller.txt", "pci.txt"}
    assert json.loads(files["verdict.json"])["hosts"][0]["host"] == "pi"
    assert json.loads(files["settings.json"])["metis_driver"] == "none"


def test_secrets_in_settings_are_masked():
    files = found(reboot_before="curl -H 'Authorization: Bearer s3cr3t' https://drain.example.org/$METIS_HOST")
    archive = "".join(contents(bundle(files, Masker())).values())
    assert "s3cr3t" not in archive
    assert "drain.example.org" not in archive


@pytest.mark.parametrize(
    ("survey", "look", "sentence"),
    [
        ("", None, "The survey did not arrive."),
        ("debian13-provisioned", Look(), "The look at log, PCI and versions did not arrive whole."),
    ],
)
def test_what_is_missing_is_said(survey, look, sentence):
    assert sentence in found(survey, look)["missing.txt"]


def test_a_survey_that_ends_early_is_kept_without_a_verdict():
    lines = tuple((SURVEYS / "debian13-provisioned.txt").read_text(encoding="utf-8").splitlines()[:20])
    files = texts("pi", Settings.model_validate(NO_DRIVER), lines, Look(complete=True), WHEN, {})
    assert "survey.txt" in files
    assert "verdict.json" not in files
    assert "The survey is not whole" in files["missing.txt"]


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]])
def test_the_look_runs_in_every_shell_and_sees_the_cards_alone(tmp_path: Path, shell: list[str]):
    for bdf, vendor, device_class, path in (
        ("0001:00:00.0", "0x14e4", "0x060400", "pci0001:00/0001:00:00.0"),
        ("0001:01:00.0", "0x1f9d", "0x120000", "pci0001:00/0001:00:00.0/0001:01:00.0"),
        ("0002:01:00.0", "0x1de4", "0x020000", "pci0002:00/0002:01:00.0"),
    ):
        directory = tmp_path / "sys/devices" / path
        directory.mkdir(parents=True)
        (directory / "vendor").write_text(f"{vendor}\n")
        (directory / "class").write_text(f"{device_class}\n")
        (directory / "current_link_speed").write_text("8.0 GT/s PCIe\n")
        link = tmp_path / "sys/bus/pci/devices" / bdf
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(directory)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbad:x:\n")
    done = subprocess.run(
        [*shell, "-c", look_command()],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "METIS_ROOT": str(tmp_path)},
    )
    look = read_look(done.stdout.splitlines())
    assert look.complete
    assert look.users == ("alice",)
    assert look.hosts
    assert [line for line in look.parts["pci"].splitlines() if line[:4] in {"0001", "0002"} and " " not in line] == [
        "0001:00:00.0",
        "0001:01:00.0",
    ]
    assert "current_link_speed: 8.0 GT/s PCIe" in look.parts["pci"]
    assert set(look.parts) == {"kernel-log", "pci", "interrupts", "versions"}


def test_output_that_is_not_of_this_form_is_no_look():
    assert read_look(["bash: no", "", "x"]) == Look()
    cut = read_look(["## pci", " 0001:01:00.0"])
    assert (cut.parts, cut.complete) == ({"pci": "0001:01:00.0\n"}, False)
