"""A card with a host beside it, for the tests of the virtual card."""

import pytest
from fake_host import FakeHost


@pytest.fixture
def host():
    """A host that has connected and mapped its memory; its driver has announced a buffer."""
    host = FakeHost().bring_up()
    yield host
    host.close()


@pytest.fixture
def stranger():
    """A host that has only just connected."""
    host = FakeHost()
    yield host
    host.close()
