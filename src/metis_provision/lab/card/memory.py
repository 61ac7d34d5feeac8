"""Guest memory as the card sees it: the regions QEMU mapped for DMA, by their bus addresses."""

from __future__ import annotations

import errno
import mmap
from bisect import bisect_right
from dataclasses import dataclass

ADDRESS_LIMIT = 1 << 64


class MapError(Exception):
    """A mapping cannot be made or removed; ``errno`` is what the other side is told."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.errno = code


class DmaError(Exception):
    """The card reached for an address it may not read or write."""


@dataclass(frozen=True, slots=True)
class _Region:
    address: int
    size: int
    writable: bool
    content: mmap.mmap | None  # None where the other side gave no descriptor


class GuestMemory:
    """DMA regions that do not overlap, readable and writable by bus address."""

    def __init__(self) -> None:
        self._regions: list[_Region] = []

    def __len__(self) -> int:
        return len(self._regions)

    def map(self, address: int, size: int, descriptor: int | None, offset: int, *, writable: bool) -> None:
        """Make ``size`` bytes at ``address`` reachable; the caller keeps and closes ``descriptor``.

        Raise MapError for a region that overlaps another, leaves the address space or cannot be mapped.
        """
        if size <= 0 or address + size > ADDRESS_LIMIT:
            raise MapError(errno.EINVAL, f"a region of {size} bytes at {address:#x} cannot be mapped")
        place = bisect_right(self._regions, address, key=lambda region: region.address)
        before, after = self._regions[place - 1 : place], self._regions[place : place + 1]
        if any(region.address + region.size > address for region in before) or any(
            address + size > region.address for region in after
        ):
            raise MapError(errno.EEXIST, f"the region at {address:#x} overlaps one that is mapped")
        content = None if descriptor is None else _open(descriptor, size, offset, writable=writable)
        self._regions.insert(place, _Region(address, size, writable, content))

    def unmap(self, address: int, size: int) -> None:
        """Forget a region; MapError unless exactly this one is mapped."""
        for index, region in enumerate(self._regions):
            if (region.address, region.size) == (address, size):
                _close(self._regions.pop(index))
                return
        raise MapError(errno.ENOENT, f"no region of {size} bytes is mapped at {address:#x}")

    def clear(self) -> None:
        """Forget every region."""
        for region in self._regions:
            _close(region)
        self._regions.clear()

    def read(self, address: int, count: int) -> bytes:
        """Return ``count`` bytes of guest memory; DmaError if any of them is out of reach."""
        out = bytearray()
        while len(out) < count:
            content, start, size = self._find(address + len(out), write=False)
            out += content[start : start + min(size, count - len(out))]
        return bytes(out)

    def write(self, address: int, data: bytes) -> None:
        """Write guest memory; DmaError if any byte is out of reach, in which case earlier ones are written."""
        done = 0
        while done < len(data):
            content, start, size = self._find(address + done, write=True)
            piece = data[done : done + size]
            content[start : start + len(piece)] = piece
            done += len(piece)

    def _find(self, address: int, *, write: bool) -> tuple[mmap.mmap, int, int]:
        """Return the mapping that holds ``address``, the place in it, and how many bytes follow."""
        place = bisect_right(self._regions, address, key=lambda region: region.address) - 1
        if place >= 0:
            region = self._regions[place]
            start = address - region.address
            if start < region.size and region.content is not None and (region.writable or not write):
                return region.content, start, region.size - start
        raise DmaError(f"{address:#x} is not {'writable' if write else 'readable'} guest memory")


def _open(descriptor: int, size: int, offset: int, *, writable: bool) -> mmap.mmap:
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        return mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=protection, offset=offset)
    except (ValueError, OverflowError) as error:
        raise MapError(errno.EINVAL, str(error)) from error
    except OSError as error:
        raise MapError(error.errno or errno.EIO, str(error)) from error


def _close(region: _Region) -> None:
    if region.content is not None:
        region.content.close()
