"""What a run sends to a Raspberry Pi for its boot configuration, and that it reboots no host it cannot get back to."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"
STOCK = (FIXTURES / "config-txt" / "bookworm.txt").read_bytes()
PI = (FIXTURES / "surveys" / "raspberry-pi-5.txt").read_text()
BLOCK = b"""\
# metis-provision begin: replaced by the next run up to the line that says end
[all]
[pi5]
dtoverlay=
dtparam=pciex1
dtparam=pciex1_gen=3
dtoverlay=pcie-32bit-dma-pi5
[all]
# metis-provision end
"""

INVENTORY = """
survey = {"METIS_SECTIONS": %r.splitlines()}
data = {"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": survey, "metis_driver": "none", **%r}
hosts = [("@fake/pi", data)]
"""

RUN = """
import json, pyinfra_cli
from pyinfra.connectors.fake import FakeConnector
real = FakeConnector.run_shell_command
def logged(self, command, *arguments, **options):
    with open(%r, "a") as log:
        log.write(json.dumps([str(command), str(options.get("_stdin") or "")]) + "\\n")
    return real(self, command, *arguments, **options)
FakeConnector.run_shell_command = logged
from metis_provision.cli import main
main()
"""


class Pi:
    """A Raspberry Pi 5 that answers every survey alike and takes every command."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def run(self, verb: str, survey: str, *options: str, **settings: object) -> dict:
        given = {f"metis_{key}": value for key, value in {"carrier": "rpi5-m2-hat-plus", **settings}.items()}
        (self.base / "inventory.py").write_text(INVENTORY % (survey, given))
        code = RUN % str(self.base / "log")
        command = [sys.executable, "-c", code, verb, *options, "--json", str(self.base / "inventory.py")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        (host,) = json.loads(done.stdout)["hosts"]
        return host

    def sent(self) -> list[tuple[str, str]]:
        """The commands that change config.txt or the receipt, each with its standard input."""
        commands = [json.loads(line) for line in (self.base / "log").read_text().splitlines()]
        return [(text, stdin) for text, stdin in commands if "METIS_CONFIG=" in text or "METIS_RECEIPT_WAS=" in text]


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi(tmp_path)


def with_config(content: bytes) -> str:
    rows = f"content\t{base64.b64encode(content).decode()}\ncontent_end\n"
    return re.sub(r"(content\t.*\n)+content_end\n", lambda _: rows, PI)


def receipt_in(manifest: str) -> dict:
    line = next(line for line in manifest.splitlines() if "/receipt.json " in line)
    return json.loads(base64.b64decode(line.rpartition(" ")[2]))


def boot_part(sent: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """From the last receipt before config.txt on."""
    position = next(i for i, (text, _) in enumerate(sent) if "METIS_CONFIG=" in text)
    return sent[position - 1 : position + 2]


def test_the_block_is_noted_and_then_written(pi: Pi) -> None:
    pi.run("apply", with_config(STOCK), "-y")
    (_, manifest), (command, stdin), *_ = boot_part(pi.sent())
    assert receipt_in(manifest)["boot"]["path"] == "/boot/firmware/config.txt"
    assert "METIS_CONFIG=/boot/firmware/config.txt" in command
    assert "METIS_KEEP=1" in command
    content, end = stdin.splitlines()
    assert end == "end"
    assert base64.b64decode(content) == STOCK + BLOCK


def test_a_plan_says_which_lines_and_sends_nothing(pi: Pi) -> None:
    host = pi.run("plan", with_config(STOCK), reboot="if-needed")
    assert "put dtparam=pciex1, dtparam=pciex1_gen=3, dtoverlay=pcie-32bit-dma-pi5 into force" in json.dumps(host)
    assert "/boot/firmware/config.txt is not what the host booted with" in json.dumps(host)
    assert pi.sent() == []


def test_a_host_that_has_it_is_sent_nothing(pi: Pi) -> None:
    pi.run("apply", with_config(STOCK + BLOCK), "-y")
    assert not [text for text, _ in pi.sent() if "METIS_CONFIG=" in text]


def test_what_nothing_asks_for_any_more_is_taken_out(pi: Pi) -> None:
    pi.run("apply", with_config(STOCK + BLOCK), "-y", carrier="generic")
    (command, stdin) = next((text, stdin) for text, stdin in pi.sent() if "METIS_CONFIG=" in text)
    assert "METIS_KEEP=''" in command
    assert base64.b64decode(stdin.splitlines()[0]) == STOCK


def test_an_overlay_that_is_missing_stops_the_host_before_anything(pi: Pi) -> None:
    host = pi.run("apply", with_config(STOCK), "-y", overlays=["exaviz-cruiser"])
    assert "overlay exaviz-cruiser is not in /boot/firmware/overlays" in host["reason"] + json.dumps(host)
    assert pi.sent() == []


def pending() -> str:
    return with_config(STOCK + BLOCK).replace("@end boot", "changed\t/boot/firmware/config.txt\n@end boot")


@pytest.mark.parametrize(
    ("survey", "words"),
    [
        (pending(), "only hosts reached by ssh are rebooted from here"),
        (re.sub(r"boot_id\t.*\n", "", pending()), "does not say its boot id, so a reboot could not be proven"),
    ],
    ids=["not by ssh", "no boot id"],
)
def test_a_host_that_could_not_be_proven_to_be_back_is_not_rebooted(pi: Pi, survey: str, words: str) -> None:
    host = pi.run("apply", survey, "-y", reboot="if-needed", reboot_before=f"touch {pi.base}/drained")
    assert words in host["reason"]
    assert "systemctl reboot" not in (pi.base / "log").read_text()
    assert not (pi.base / "drained").exists()
