"""Takes secrets and addresses out of text that leaves the house. Pure.

Each value becomes a name of its kind and number, the same wherever it appears, so that what belonged together still
does. PCI addresses (``0001:01:00.0``) look like parts of MAC and IPv6 addresses and are what a reader needs most: they
are set aside before anything else is looked for. When in doubt something is masked that need not be, never the reverse.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum


class Kind(StrEnum):
    """What a masked value was."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    MAC = "mac"
    HOST = "host"
    USER = "user"
    SECRET = "secret"  # noqa: S105
    SERIAL = "serial"
    UUID = "uuid"


_PCI = re.compile(r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[0-1][0-9A-Fa-f]\.[0-7](?![0-9A-Za-z]|\.\d)")
# A file that the survey carries whole, so that nothing in it can be recognised before it is read.
_ENCODED = re.compile(r"(?:^content\t[0-9A-Za-z+/=]*$\n?)+", re.MULTILINE)
_ENCODED_WIDTH = 76
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_KEY_LINE = re.compile(r"\b(?:ssh-[a-z0-9-]+|ecdsa-[a-z0-9-]+|sk-[a-z0-9@.-]+)\s+AAAA[0-9A-Za-z+/=]+[^\n]*")
_KNOWN_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[0-9A-Za-z]{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_CREDENTIAL = (
    r"(?:pass(?:word|wd|phrase|code)?|secret|token|psk|credentials?|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key)"
)
_ASSIGNED = re.compile(
    rf"""(?ix)
    (?P<name> [\w.-]*{_CREDENTIAL}[\w.-]*["']? \s*[:=]\s* | --?[\w-]*{_CREDENTIAL}[\w-]*\s+ | \b(?:bearer|basic)\s+ )
    (?P<value> "[^"\n]*" | '[^'\n]*' | [^\s"',;&]+ )
    """
)
_USER_INFO = re.compile(r"(?P<name>[a-z][a-z0-9+.-]*://)(?P<value>[^\s/@]+)(?=@)", re.IGNORECASE)
_URL_HOST = re.compile(r"(?P<name>[a-z][a-z0-9+.-]*://(?:[^\s/@]*@)?)(?P<value>[^\s/:?#\[\]\"'<>]+)", re.IGNORECASE)
# Neither a node of a device tree (pcie@1000110000) nor an instance of a unit (getty@tty1.service).
_AT_HOST = re.compile(
    r"(?P<user>(?<![\w.+/-])[A-Za-z_][\w.+-]*)@(?=[\w.-]*[G-Zg-z])"
    r"(?![\w.-]*\.(?:service|socket|target|timer|mount|device)\b)(?P<host>[A-Za-z0-9][\w.-]*[A-Za-z0-9])"
)
_HOME = re.compile(r"(?P<name>/(?:home|Users)/)(?P<value>[^\s/\"':;,]+)")
_SERIAL = re.compile(
    r"(?P<name>\bserial(?:[-_ ]?(?:number|num|no))?\b[\"']?\s*[:=#]?\s*[\"']?)"
    r"(?P<value>(?=[0-9A-Za-z-]*[0-9])[0-9A-Za-z-]{6,})",
    re.IGNORECASE,
)
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9A-Za-z])", re.IGNORECASE)
_MACHINE_ID = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_SHORT_ID = re.compile(r"(?P<name>\b(?:PART)?UUID=)(?P<value>[0-9A-Fa-f-]{4,})")
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}[:-]){5,}[0-9A-Fa-f]{2}|\b(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}\b")
_MAC_NAME = re.compile(r"(?P<name>\b(?:enx|wlx|macaddr=|mac=))(?P<value>[0-9A-Fa-f]{12})\b", re.IGNORECASE)
_IPV6 = re.compile(r"(?<![0-9A-Za-z.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?")
_IPV4 = re.compile(r"(?<![0-9])(?<![0-9]\.)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9])")

# Names that say nothing about anybody, and words that the evidence is made of.
_COMMON = frozenset(
    {"localhost", "root", "nobody", "metis", "axelera", "axl", "linux", "systemd", "openrc", "dkms", "udev", "kernel"}
    | {"debian", "ubuntu", "raspbian", "raspberrypi", "fedora", "alpine", "arch", "gentoo"}
    | {"none", "pass", "fail", "warn", "skip", "unknown", "true", "false", "null"}
)
_SAYS_NOTHING = frozenset({"0.0.0.0", "255.255.255.255", "::", "::1"})  # noqa: S104 - compared with, never bound


StandIn = Callable[[Kind, str, int], str]
"""What is written in the place of a value, from its kind, itself and its number."""


def token(kind: Kind, value: str, number: int) -> str:  # noqa: ARG001 - a stand-in's arguments
    """Return a mark that nobody takes for a value."""
    return f"<{kind}-{number}>"


class Masker:
    """Masks texts one after the other with the same numbers; ``hosts`` and ``users`` are names known beforehand."""

    def __init__(self, hosts: Iterable[str] = (), users: Iterable[str] = (), stand_in: StandIn = token) -> None:
        self._stand_in = stand_in
        self._numbers: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        self._names = [
            (Kind.HOST, _names(_with_short_names(hosts), ignore_case=True)),
            (Kind.USER, _names(users, ignore_case=False)),
        ]

    @property
    def counts(self) -> dict[Kind, int]:
        """How many different values of each kind were masked."""
        return {kind: len(numbers) for kind, numbers in self._numbers.items() if numbers}

    def mask(self, text: str) -> str:
        """Return the text without secrets and addresses."""
        text = _ENCODED.sub(self._encoded, text)
        text = _PEM.sub(lambda found: self._token(Kind.SECRET, found[0]), text)
        text = _KEY_LINE.sub(lambda found: self._token(Kind.SECRET, found[0]), text)
        parts, end = [], 0
        for found in _PCI.finditer(text):
            parts += [self._mask_between(text[end : found.start()]), found[0]]
            end = found.end()
        return "".join((*parts, self._mask_between(text[end:])))

    def _encoded(self, found: re.Match[str]) -> str:
        try:
            plain = base64.b64decode(re.sub(r"content\t|\n", "", found[0]), validate=True).decode("latin-1")
        except binascii.Error:
            return f"content\t{self._token(Kind.SECRET, found[0])}\n"
        masked = base64.b64encode(self.mask(plain).encode("latin-1", "replace")).decode("ascii")
        lines = [masked[at : at + _ENCODED_WIDTH] for at in range(0, len(masked), _ENCODED_WIDTH)] or [""]
        return "".join(f"content\t{line}\n" for line in lines)

    def _mask_between(self, text: str) -> str:
        text = _KNOWN_TOKENS.sub(lambda found: self._token(Kind.SECRET, found[0]), text)
        text = _ASSIGNED.sub(self._second(Kind.SECRET), text)
        text = _USER_INFO.sub(self._second(Kind.SECRET), text)
        text = _IPV6.sub(self._ipv6, text)
        text = _UUID.sub(lambda found: self._token(Kind.UUID, found[0]), text)
        text = _MACHINE_ID.sub(lambda found: self._token(Kind.UUID, found[0]), text)
        text = _SHORT_ID.sub(self._second(Kind.UUID), text)
        text = _SERIAL.sub(self._second(Kind.SERIAL), text)
        text = _MAC_NAME.sub(self._second(Kind.MAC), text)
        text = _MAC.sub(lambda found: self._token(Kind.MAC, found[0]), text)
        text = _IPV4.sub(self._ipv4, text)
        text = _AT_HOST.sub(self._account, text)
        text = _URL_HOST.sub(self._second(Kind.HOST), text)
        text = _HOME.sub(self._second(Kind.USER), text)
        for kind, names in self._names:
            if names is not None:
                text = names.sub(lambda found, kind=kind: self._token(kind, found[0]), text)  # type: ignore[misc]
        return text

    def _token(self, kind: Kind, value: str) -> str:
        if re.fullmatch(r"<[a-z0-9]+-\d+>", value):
            return value
        numbers = self._numbers[kind]
        bare = value.strip("\"'")
        return self._stand_in(kind, bare, numbers.setdefault(bare.lower(), len(numbers) + 1))

    def _second(self, kind: Kind) -> Callable[[re.Match[str]], str]:
        return lambda found: found["name"] + self._token(kind, found["value"])

    def _account(self, found: re.Match[str]) -> str:
        return f"{self._token(Kind.USER, found['user'])}@{self._token(Kind.HOST, found['host'])}"

    def _ipv4(self, found: re.Match[str]) -> str:
        if found[0] in _SAYS_NOTHING or found[0].startswith("127."):
            return found[0]
        return self._token(Kind.IPV4, found[0])

    def _ipv6(self, found: re.Match[str]) -> str:
        """Mask what is an IPv6 address, without the colon or full stop of the sentence that it stands in."""
        # The numbers of an account without a comment, as in x:990:990::/nonexistent, have the form of an address.
        if found.string[: found.start()].endswith(":x:"):
            return found[0]
        whole, _, zone = found[0].partition("%")
        for address in _without_punctuation(whole):
            if _is_ipv6(address) and address in _SAYS_NOTHING:
                return found[0]
            if _is_ipv6(address):
                before, after = whole.split(address, 1)
                return before + self._token(Kind.IPV6, address) + after + (f"%{zone}" if zone else "")
        return found[0]


def _without_punctuation(text: str) -> Iterator[str]:
    """Yield the text, and without up to two colons or full stops at its ends: an address may end in two of its own."""
    for end in range(3):
        for start in range(3):
            if not text[:start].strip(":") and not text[len(text) - end :].strip(".:"):
                yield text[start : len(text) - end]


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _with_short_names(hosts: Iterable[str]) -> Iterable[str]:
    for host in hosts:
        yield host
        yield host.partition(".")[0]


def _names(values: Iterable[str], *, ignore_case: bool) -> re.Pattern[str] | None:
    """A pattern for whole words; the longest first, so that a name in a longer name does not split it."""
    kept = {value for value in values if len(value) > 1 and value.lower() not in _COMMON and not value.isdecimal()}
    if not kept:
        return None
    words = "|".join(re.escape(value) for value in sorted(kept, key=lambda value: (-len(value), value)))
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{words})(?![A-Za-z0-9_])", re.IGNORECASE if ignore_case else 0)
