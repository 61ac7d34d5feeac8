"""Which faults run in every `make test`: quick ones of both sides, the same unless METIS_FAULT_SEED chooses others."""

from __future__ import annotations

import os
import random

from metis_provision.lab.faults import Side, faults

SEED = int(os.environ.get("METIS_FAULT_SEED", "7"))
SAMPLE_SIZES = {Side.CARD: 2, Side.HOST: 1}


def sample(seed: int) -> list[str]:
    """Return the names that ``seed`` chooses, in the table's order."""
    chooser = random.Random(seed)
    quick = {side: [name for name, fault in faults().items() if fault.quick and fault.side is side] for side in Side}
    chosen = [name for side, size in SAMPLE_SIZES.items() for name in chooser.sample(quick[side], size)]
    return [name for name in faults() if name in chosen]


SAMPLE = sample(SEED)
