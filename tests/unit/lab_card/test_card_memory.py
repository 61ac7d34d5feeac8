"""Guest memory: mapping, overlaps, protection, and reads across regions."""

import errno
import os

import pytest

from metis_provision.lab.card.memory import DmaError, GuestMemory, MapError

PAGE = 4096


@pytest.fixture
def file():
    descriptor = os.memfd_create("guest")
    os.ftruncate(descriptor, 4 * PAGE)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def memory():
    memory = GuestMemory()
    yield memory
    memory.clear()


def test_what_is_written_is_in_the_file_and_back(memory, file):
    memory.map(0x10000, 2 * PAGE, file, PAGE, writable=True)
    memory.write(0x10010, b"metis")
    assert os.pread(file, 5, PAGE + 0x10) == b"metis"
    os.pwrite(file, b"axl", 2 * PAGE)
    assert memory.read(0x11000, 3) == b"axl"


def test_neighbouring_regions_are_one_to_a_transfer(memory, file):
    memory.map(0x10000, PAGE, file, 2 * PAGE, writable=True)
    memory.map(0x11000, PAGE, file, 0, writable=True)
    memory.write(0x10FFE, b"abcd")
    assert os.pread(file, 2, 3 * PAGE - 2) == b"ab"
    assert os.pread(file, 2, 0) == b"cd"
    assert memory.read(0x10FFE, 4) == b"abcd"


@pytest.mark.parametrize("address", [0x0, 0xFFFF, 0x11000, 0x10FFE])
def test_out_of_reach(memory, file, address):
    memory.map(0x10000, PAGE, file, 0, writable=True)
    with pytest.raises(DmaError):
        memory.read(address, 4)
    with pytest.raises(DmaError):
        memory.write(address, b"abcd")


def test_read_only_memory_is_not_written(memory, file):
    memory.map(0x10000, PAGE, file, 0, writable=False)
    assert memory.read(0x10000, 4) == bytes(4)
    with pytest.raises(DmaError, match="not writable"):
        memory.write(0x10000, b"x")


def test_a_region_without_a_file_is_known_and_out_of_reach(memory):
    memory.map(0x10000, PAGE, None, 0, writable=True)
    with pytest.raises(DmaError):
        memory.read(0x10000, 1)
    with pytest.raises(MapError):
        memory.map(0x10000, PAGE, None, 0, writable=True)


@pytest.mark.parametrize(
    ("address", "size", "offset", "code"),
    [
        (0x10000, PAGE, 0, errno.EEXIST),
        (0xF000, 2 * PAGE, 0, errno.EEXIST),
        (0x11000, PAGE, 0, errno.EEXIST),
        (0x20000, 0, 0, errno.EINVAL),
        (2**64 - PAGE, 2 * PAGE, 0, errno.EINVAL),
        (0x20000, PAGE, 5, errno.EINVAL),
        (0x20000, PAGE, 2**63, errno.EINVAL),
        (0x20000, 5 * PAGE, 0, errno.EINVAL),
        (0x20000, PAGE, 4 * PAGE, errno.EINVAL),
    ],
)
def test_mappings_that_are_refused(memory, file, address, size, offset, code):
    memory.map(0x10000, 2 * PAGE, file, 0, writable=True)
    with pytest.raises(MapError) as refused:
        memory.map(address, size, file, offset, writable=True)
    assert refused.value.errno == code
    assert len(memory) == 1


def test_a_descriptor_that_cannot_be_mapped(memory):
    reader, writer = os.pipe()
    with pytest.raises(MapError):
        memory.map(0, PAGE, reader, 0, writable=False)
    os.close(reader)
    os.close(writer)


def test_unmapping_is_exact(memory, file):
    memory.map(0x10000, 2 * PAGE, file, 0, writable=True)
    for address, size in ((0x10000, PAGE), (0x11000, PAGE), (0x0, PAGE)):
        with pytest.raises(MapError) as refused:
            memory.unmap(address, size)
        assert refused.value.errno == errno.ENOENT
    memory.unmap(0x10000, 2 * PAGE)
    with pytest.raises(DmaError):
        memory.read(0x10000, 1)
