"""One archive of masked texts: the same evidence makes the same bytes. Pure."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Mapping

from metis_provision.support.mask import Kind, Masker

_TOP = "metis-support"
# tar's beginning of time is not a date that every reader takes; this is the first of zip, long before any card.
_EPOCH = 315_532_800

_HEAD = """Evidence of one host, gathered by metis-provision support.

{names}

What could be recognised was replaced by its kind and a number, the same everywhere:
  {counts}
PCI addresses were left as they are. Look through the files before you send them: a name that looks like any
other word, or a secret without a name beside it, cannot be recognised.
"""


def bundle(texts: Mapping[str, str], masker: Masker) -> bytes:
    """Return a tar.gz of the masked texts by file name, after a README that says what is in it.

    ValueError for a name that is not a plain file's name.
    """
    wrong = [name for name in texts if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name == "README.txt"]
    if wrong:
        raise ValueError(f"{wrong[0]!r} cannot be the name of a file in the archive")
    masked = {name: masker.mask(text) for name, text in sorted(texts.items())}
    readme = _HEAD.format(names="\n".join(f"  {name}" for name in masked), counts=_counted(masker))
    return _archive({"README.txt": readme, **masked})


def _counted(masker: Masker) -> str:
    counts = masker.counts
    return ", ".join(f"{counts[kind]} {kind}" for kind in Kind if kind in counts) or "nothing"


def _archive(texts: Mapping[str, str]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, text in texts.items():
            content = text.encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(f"{_TOP}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), _EPOCH, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
