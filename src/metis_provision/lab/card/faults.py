"""How the card behaves under each fault that is its own; ``lab/faults.yml`` says what each is and leads to."""

from __future__ import annotations

from collections.abc import Iterable

from metis_provision.lab.card.behaviour import Behaviour, Identity, Interrupts, combined

BEHAVIOURS: dict[str, Behaviour] = {
    "hot-removal": Behaviour(present=False),
    "late-arrival": Behaviour(present=False),
    "ff-until-rescan": Behaviour(deaf_rescans=1),
    "late-answer": Behaviour(deaf_rescans=3),
    "silent": Behaviour(answers=False),
    "no-firmware": Behaviour(firmware=False),
    "id-alpha": Behaviour(identity=Identity(0x1F9D, 0x11AA, revision=0x01)),
    "id-europa": Behaviour(identity=Identity(0x1F9D, 0x0001)),
    "id-documented": Behaviour(identity=Identity(0x1F0F, 0x0001)),
    "half-dead": Behaviour(identity=Identity(0x16C3, 0xABCD)),
    "impostor-ssd": Behaviour(identity=Identity(0x1E81, 0x1202, class_code=0x010802)),
    "impostor-nic": Behaviour(identity=Identity(0x1F0F, 0x0001, class_code=0x020000)),
    "narrow-link": Behaviour(link_width=1),
    "slow-link": Behaviour(link_speed=1),
    "flapping-link": Behaviour(link_flaps=True),
    "small-window": Behaviour(window_mib=1),
    "lost-interrupts": Behaviour(interrupts=Interrupts.NONE),
    "single-interrupt": Behaviour(interrupts=Interrupts.FIRST, msi_vectors=1),
    "wrong-answer": Behaviour(right_answers=False),
    "slow": Behaviour(product_seconds=0.5),
    "hang": Behaviour(finishes=False),
    "old-firmware": Behaviour(firmware_version=(1, 1, 0)),
    "overheat-throttle": Behaviour(heats_to=112),
    "overheat-shutdown": Behaviour(heats_to=125),
}


def behaviour_under(active: Iterable[str]) -> Behaviour:
    """Return the behaviour with the faults called ``active``; KeyError for an unknown name."""
    wanted = set(active)
    unknown = wanted - BEHAVIOURS.keys()
    if unknown:
        raise KeyError(min(unknown))
    return combined(behaviour for name, behaviour in BEHAVIOURS.items() if name in wanted)
