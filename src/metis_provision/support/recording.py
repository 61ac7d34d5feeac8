"""A host's survey and settings as one text that can be shown to others and judged again without the host. Pure."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from metis_provision.checks.evaluate import evaluate
from metis_provision.checks.evidence import Evidence
from metis_provision.desired.state import desired_state
from metis_provision.model.errors import UserError
from metis_provision.model.settings import PREFIX, Settings, settings_from
from metis_provision.model.survey import Survey
from metis_provision.model.verdict import Verdict
from metis_provision.support.mask import Kind, Masker
from metis_provision.survey.parser import SurveyIncomplete, read_survey

_RECORDED = "# Recorded: "
_SETTINGS = "# Settings: "
_KEY = "# Key: "
_CHANGED = "# Masking changed: "
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# RFC 5737, RFC 3849: addresses that stand for others in documentation.
_NETWORKS = tuple(ipaddress.IPv4Network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))
_NETWORK6 = ipaddress.IPv6Network("2001:db8::/32")
_WHERE = "the host's answer"
# Shorter ones can be a count or a date; longer than an Ethernet address, they are identifiers wherever they stand.
_BARE_IDENTIFIER = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{16,}(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True)
class Recording:
    """A host as it was on one day; ``key`` is the content of ``metis_runtime_key``, ``day`` None where none is told."""

    settings: Settings
    lines: tuple[str, ...]
    survey: Survey
    key: bytes | None = None
    day: date | None = None

    def verdict(self, host: str) -> Verdict:
        """What is said of the host, as on that day."""
        desired = desired_state(self.settings, self.survey, self.key)
        return evaluate(host, Evidence(self.settings, self.survey, desired), today=self.day)


class StandIns:
    """Values of the same form in the place of those that are masked, so that every parser reads them as before.

    An identifier is the same one with and without colons, in capitals and not, because certificates are compared so.
    """

    def __init__(self) -> None:
        self._identifiers: dict[str, int] = {}

    def __call__(self, kind: Kind, value: str, number: int) -> str:
        """Return what is written instead."""
        if kind is Kind.IPV4:
            network = _NETWORKS[number // 254 % len(_NETWORKS)]
            return str(network[number % 254 + 1])
        if kind is Kind.IPV6:
            return str(_NETWORK6[number])
        if kind in {Kind.MAC, Kind.UUID, Kind.SERIAL}:
            plain = _plain(value)
            return _shaped(value, self._identifiers.setdefault(plain, len(self._identifiers) + 1))
        return f"{kind}-{number}"

    def elsewhere(self, text: str) -> str:
        """Return the text with identifiers that were masked in another form masked in this one too."""
        return _BARE_IDENTIFIER.sub(self._known, text)

    def _known(self, found: re.Match[str]) -> str:
        number = self._identifiers.get(_plain(found[0]))
        return found[0] if number is None else _shaped(found[0], number)


def _plain(value: str) -> str:
    return re.sub(r"[^0-9a-z]", "", value.lower()).lstrip("0")


def _shaped(value: str, number: int) -> str:
    """The number in decimal, written over the letters and digits of the value from its end, zeros before it."""
    places = sum(map(str.isalnum, value))
    digits = iter(f"{number:0{places}d}"[-places:])
    return "".join(next(digits) if character.isalnum() else character for character in value)


def recorded(
    settings: Settings, survey: Sequence[str], key: bytes | None, day: date, masker: Masker, stand_ins: StandIns
) -> tuple[str, tuple[str, ...]]:
    """Return the text of a recording, and the codes whose answers masking changed: the text says those too.

    UserError for a survey that did not arrive whole, and for settings that make no sense once they are masked.
    """
    plain = _recording(settings, tuple(survey), key, day, _WHERE)
    masked_settings = settings_from(_masked(_dumped(settings), masker, stand_ins), "masking leaves no valid settings")
    text = stand_ins.elsewhere(masker.mask("".join(f"{line}\n" for line in survey if not line.startswith("#"))))
    masked = _recording(masked_settings, tuple(text.split("\n")), key, day, _WHERE)
    changed = tuple(
        sorted({code for code, _ in (_answers(plain) - _answers(masked)) | (_answers(masked) - _answers(plain))})
    )
    head = [
        f"{_RECORDED}{day.isoformat()} by metis-provision lab record; names, addresses, serials and secrets replaced."
    ]
    head.append(_SETTINGS + json.dumps(_dumped(masked_settings), sort_keys=True))
    if key is not None:
        head.append(_KEY + base64.b64encode(key).decode("ascii"))
    if changed:
        head.append(_CHANGED + " ".join(changed))
    return "".join(f"{line}\n" for line in head) + text, changed


def read_recording(text: str, where: str) -> Recording:
    """Read a recording; without its line of settings a host is judged by the defaults, with nothing to be installed.

    UserError that begins with ``where`` for anything that is no recording, or not a whole one.
    """
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if not any(line.startswith("@survey ") for line in lines):
        raise UserError(f"{where}: this is no recording; metis-provision lab record makes one")
    try:
        day = _day(_headed(lines, _RECORDED))
        key = base64.b64decode(_headed(lines, _KEY), validate=True) or None
        settings = settings_from(_read_settings(_headed(lines, _SETTINGS)), where)
    except (ValueError, binascii.Error) as error:
        raise UserError(f"{where}: its head cannot be read ({error}); record the host again") from error
    return _recording(settings, tuple(lines), key, day, where)


def _headed(lines: Sequence[str], head: str) -> str:
    return next((line.removeprefix(head) for line in lines if line.startswith(head)), "")


def _day(text: str) -> date | None:
    found = _DAY.match(text)
    return date.fromisoformat(found[0]) if found else None


def _read_settings(text: str) -> dict[str, Any]:
    # A driver cannot be wanted without its pin.
    read = json.loads(text) if text else {f"{PREFIX}driver": "none"}
    if not isinstance(read, dict):
        raise ValueError("settings are no JSON object")
    return read


def _recording(
    settings: Settings, lines: tuple[str, ...], key: bytes | None, day: date | None, where: str
) -> Recording:
    try:
        return Recording(settings, lines, read_survey(lines), key, day)
    except SurveyIncomplete as error:
        raise UserError(f"{where}: {error}; record it again") from error


def _answers(recording: Recording) -> Counter[tuple[str, str]]:
    return Counter((finding.code, finding.answer.value) for finding in recording.verdict("host").findings)


def _dumped(settings: Settings) -> dict[str, Any]:
    told = settings.model_dump(mode="json", exclude_defaults=True)
    return {f"{PREFIX}{name}": value for name, value in told.items()}


def _masked(value: Any, masker: Masker, stand_ins: StandIns) -> Any:  # noqa: ANN401 - any value of JSON
    """Every text in a value of JSON masked on its own, so that quotes stay where they were."""
    if isinstance(value, str):
        return stand_ins.elsewhere(masker.mask(value))
    if isinstance(value, list):
        return [_masked(item, masker, stand_ins) for item in value]
    if isinstance(value, dict):
        return {str(_masked(name, masker, stand_ins)): _masked(item, masker, stand_ins) for name, item in value.items()}
    return value
