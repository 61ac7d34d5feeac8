"""Every reader of what hosts and tools say survives arbitrary bytes, and recorded hosts whose bytes were damaged."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.state import desired_state
from metis_provision.model.errors import UserError
from metis_provision.model.receipt import ReceiptUnreadable, read_receipt
from metis_provision.model.settings import Settings
from metis_provision.report.document import read_report
from metis_provision.report.prometheus import last_successes
from metis_provision.support.look import read_look
from metis_provision.support.mask import Masker
from metis_provision.support.recording import read_recording
from metis_provision.survey import formats, parser, tools, trust
from metis_provision.survey.next_boot import Loaders, Menu, MenuEntry, next_boot, version_key

SURVEYS = sorted((Path(__file__).parents[2] / "fixtures" / "surveys").glob("*.txt"))
LOOKED_THROUGH = ("survey.formats", "survey.parser", "survey.tools", "survey.trust", "survey.next_boot")


def text_of(data: bytes) -> str:
    """What pyinfra makes of a host's output."""
    return data.decode("utf-8", "surrogateescape")


def lines_of(data: bytes) -> list[str]:
    return text_of(data).split("\n")


def loaders_of(data: bytes) -> Loaders:
    text, lines = text_of(data), lines_of(data)
    entry = MenuEntry(*(lines * 4)[:4])
    menu = Menu(text, (entry,), tuple(lines), dict.fromkeys(lines, text), False, ((text, text, text),))
    return Loaders(dict.fromkeys(lines, text), lines[0], tuple(lines), (text, text), menu, text, tuple(lines), {})


def boots_of(data: bytes) -> None:
    whole = loaders_of(data)
    kernels = ("6.1.0-28-amd64", *lines_of(data))
    for found in (
        whole,
        Loaders(efi="systemd-boot", bootctl=whole.bootctl),
        Loaders(grub=whole.grub),
        Loaders(extlinux="/boot/extlinux/extlinux.conf", extlinux_lines=whole.extlinux_lines),
        Loaders(links=dict.fromkeys(lines_of(data), text_of(data))),
    ):
        next_boot(kernels, found)


# A reader may refuse with the error that its documentation names, and with no other.
READERS: dict[str, tuple[Callable[[bytes], object], type[Exception] | None]] = {
    "survey.formats.number": (lambda data: (formats.number(text_of(data)), formats.number(text_of(data), 16)), None),
    "survey.formats.parse_os_release": (lambda data: formats.parse_os_release(lines_of(data)), None),
    "survey.formats.parse_dkms_line": (lambda data: formats.parse_dkms_line(text_of(data)), None),
    "survey.formats.parse_dkms_status": (lambda data: formats.parse_dkms_status(lines_of(data)), None),
    "survey.formats.df_available": (lambda data: formats.df_available(text_of(data)), None),
    "survey.formats.parse_config": (formats.parse_config, None),
    "survey.formats.bar_size": (lambda data: formats.bar_size(*(int.from_bytes(data[i::3]) for i in range(3))), None),
    "survey.parser.parse_survey": (lambda data: parser.parse_survey(text_of(data)).to_json(), None),
    "survey.parser.read_survey": (lambda data: parser.read_survey(text_of(data)), parser.SurveyIncomplete),
    "survey.tools.parse_temperatures": (
        lambda data: [tools.parse_temperatures("after", it) for it in lines_of(data)],
        None,
    ),
    "survey.tools.parse_devices": (lambda data: tools.parse_devices(lines_of(data)), None),
    "survey.tools.parse_self_test": (lambda data: tools.parse_self_test(lines_of(data)).throughput, None),
    "survey.tools.trouble": (lambda data: tools.trouble(lines_of(data)), None),
    "survey.tools.version_mismatch": (lambda data: tools.version_mismatch(lines_of(data)), None),
    "survey.tools.says_busy": (lambda data: tools.says_busy(lines_of(data)), None),
    "survey.trust.secure_boot_state": (lambda data: trust.secure_boot_state(lines_of(data)), None),
    "survey.trust.serial_number": (lambda data: trust.serial_number(text_of(data)), None),
    "survey.trust.parse_certificates": (lambda data: trust.parse_certificates(lines_of(data)), None),
    "survey.trust.parse_openssl": (lambda data: trust.parse_openssl(lines_of(data), text_of(data)), None),
    "survey.trust.parse_kernel_key": (lambda data: trust.parse_kernel_key(text_of(data)), None),
    "survey.next_boot.next_boot": (boots_of, None),
    "survey.next_boot.version_key": (lambda data: sorted(lines_of(data), key=version_key), None),
    "support.look.read_look": (lambda data: read_look(lines_of(data)), None),
    "support.mask.Masker": (lambda data: Masker(hosts=lines_of(data)).mask(text_of(data)), None),
    "support.recording.read_recording": (lambda data: read_recording(text_of(data), "here"), UserError),
    "model.receipt.read_receipt": (lambda data: read_receipt(text_of(data)), ReceiptUnreadable),
    "report.document.read_report": (lambda data: read_report(data, "here"), UserError),
    "report.prometheus.last_successes": (lambda data: last_successes(text_of(data), "here"), UserError),
}

# Bytes that lead further into a reader than noise would.
WORDS = st.sampled_from(
    [
        *(
            "@survey 1 host kernels log\n",
            "@begin host\n",
            "@end host\n",
            "@complete\n",
            "# Settings: ",
            "## names\n",
            "\t",
        ),
        *(
            "Device 0: metis-0:1:0 ",
            "(not responding)",
            "clock=800MHz",
            "System throughput: 1,2.3.4 FPS",
            "Answer check: ",
        ),
        *(
            "metis/1.6.2, 6.1.0, x86_64: installed",
            "[key 1]\n",
            "Serial Number:\n",
            "serial=",
            "subject=CN=",
            "0x",
            "\xb2",
        ),
        *(
            'ID="',
            "'",
            "{",
            '{"schema_version": 1',
            "Version mismatch! Actual=",
            "content\tQQ==\n",
            "1:2:3:4:5:6",
            "::",
            "٣",
        ),
    ]
).map(lambda word: word.encode("utf-8"))
BYTES = st.lists(st.one_of(WORDS, st.binary(max_size=40), st.just(b"\n")), max_size=30).map(b"".join)


@pytest.mark.parametrize("name", READERS)
@settings(deadline=None, max_examples=30)
@given(data=BYTES)
def test_arbitrary_bytes_are_survived(name, data):
    reader, refusal = READERS[name]
    with contextlib.suppress(refusal) if refusal else contextlib.nullcontext():
        reader(data)


def missing_readers(module: str, source: str, known: dict[str, object]) -> list[str]:
    """Public functions of a module that nothing feeds with arbitrary bytes."""
    functions = (node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    names = (f"{module}.{name}" for name in functions if not name.startswith("_"))
    return [name for name in names if name not in known]


@pytest.mark.parametrize("module", LOOKED_THROUGH)
def test_no_reader_is_left_out(module):
    source = Path(str(import_module(f"metis_provision.{module}").__file__)).read_text(encoding="utf-8")
    assert missing_readers(module, source, READERS) == []


def test_a_reader_that_is_left_out_is_named():
    source = "def parse_new(text: str) -> None: ...\ndef _own() -> None: ...\ndef parse_config(data): ...\n"
    assert missing_readers("survey.formats", source, READERS) == ["survey.formats.parse_new"]


def damaged(path: Path, wounds: list[tuple[int, int, bytes]]) -> str:
    data = bytearray(path.read_bytes())
    for place, length, instead in wounds:
        at = place % len(data)
        data[at : at + length] = instead
    return text_of(bytes(data))


WOUNDS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 40), BYTES.filter(lambda data: len(data) < 60)))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SURVEYS), WOUNDS)
def test_a_damaged_host_is_judged_without_a_check_that_breaks_off(path, wounds):
    survey = parser.parse_survey(damaged(path, wounds))
    asked = Settings(driver="none")
    verdict = evaluate("host", Evidence(asked, survey, desired_state(asked, survey)))
    assert [finding.seen for finding in verdict.findings if "broke off" in finding.seen] == []
