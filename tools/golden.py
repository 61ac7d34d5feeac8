"""Writes tests/golden/: what hosts of every platform get, for a reader to review and tests to compare.

One manifest for each case; contents lie once under files/, at the path they have on a host. Where hosts differ, a
further content carries the first case that gets it in its name, and the manifests of all such cases say so.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from metis_provision.render import Tree, tree

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
PIN = {
    "metis_driver_version": "1.6.2",
    "metis_driver_source": "axelera-driver-1.6.2.tar.gz",
    "metis_driver_sha256": "0" * 64,
}
CASES = (
    ("debian", "systemd", "generic"),
    ("debian", "openrc", "generic"),
    ("debian", "systemd", "rk3588"),
    ("ubuntu", "systemd", "x86-slot"),
    ("raspios", "systemd", "rpi5-m2-hat-plus"),
    ("raspios", "systemd", "rpi5-dual-hat"),
    ("raspios", "systemd", "exaviz-cruiser"),
    ("fedora", "systemd", "generic"),
    ("fedora", "systemd", "exaviz-cruiser"),
    ("arch", "systemd", "generic"),
    ("arch", "openrc", "exaviz-cruiser"),
    ("alpine", "openrc", "generic"),
    ("alpine", "openrc", "exaviz-cruiser"),
    ("gentoo", "openrc", "generic"),
    ("gentoo", "openrc", "exaviz-cruiser"),
    ("gentoo", "systemd", "x86-slot"),
)


def golden() -> dict[str, bytes]:
    """Contents of every file below tests/golden by its path there."""
    contents: dict[str, list[tuple[bytes, str]]] = {}
    found: dict[str, bytes] = {}
    for case in CASES:
        name = "-".join(case)
        found[f"{name}.txt"] = _manifest(tree(*case, PIN), name, contents).encode()
    for path, variants in contents.items():
        for content, stored in variants:
            found[f"files{path}{stored}"] = content
    return found


def _manifest(rendered: Tree, case: str, contents: dict[str, list[tuple[bytes, str]]]) -> str:
    """The manifest with a remark at files whose content is not that of the first case."""
    remarks = {}
    for entry in rendered.entries:
        variants = contents.setdefault(entry.path, [])
        known = next((stored for content, stored in variants if content == entry.content), None)
        if known is None:
            known = f"@{case}" if variants else ""
            variants.append((entry.content, known))
        remarks[entry.path] = f"  {known}" if known else ""
    lines = rendered.manifest.splitlines()
    return "".join(f"{line}{remarks.get(line.split()[-1], '')}\n" for line in lines)


def differing() -> list[str]:
    """Paths below tests/golden that are not as they should be, surplus ones included."""
    wanted = golden()
    there = {str(path.relative_to(GOLDEN)): path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file()}
    return sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))


def main(check: bool) -> int:
    """Write the golden files; with ``check`` only say which differ."""
    stale = differing()
    for path in stale:
        print(f"tests/golden/{path} differs: run tools/golden.py and review it" if check else f"wrote {path}")
    if stale and not check:
        shutil.rmtree(GOLDEN, ignore_errors=True)
        for path, content in golden().items():
            target = GOLDEN / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
