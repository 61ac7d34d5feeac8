"""Which faults run in every `make test`: a few quick ones, the same every day; METIS_FAULT_SEED chooses others."""

from __future__ import annotations

import os
import random

from metis_provision.lab.faults import faults

SEED = int(os.environ.get("METIS_FAULT_SEED", "158"))
SAMPLE_SIZE = 3


def sample(seed: int) -> list[str]:
    """Return the names that ``seed`` chooses, in the table's order."""
    quick = [name for name, fault in faults().items() if fault.quick]
    chosen = random.Random(seed).sample(quick, SAMPLE_SIZE)
    return [name for name in quick if name in chosen]


SAMPLE = sample(SEED)
