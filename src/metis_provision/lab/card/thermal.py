"""The card's heat: temperatures that climb and fall, and what the card does when it grows too hot."""

from __future__ import annotations

from collections.abc import Callable

from metis_provision.lab.card import registers as reg

# The vendor's documents give these degrees Celsius; by how much the card slows down at each they do not say, so the
# share of MVM and one step of the clock a degree are the lab's.
HARDWARE_THROTTLE = 105
CLOCK_STEPS_FROM = 110
SHUTDOWN = 120
THROTTLED_PERCENT = 50
DEGREES_PER_SECOND = 2


class Heat:
    """How hot a card is, in thousandths of a degree Celsius; every sensor climbs by the same amount."""

    def __init__(self, idle: tuple[int, ...], clock: Callable[[], float]) -> None:
        """Begin at ``idle``: board, then the four cores; ``clock`` counts seconds."""
        self._idle = idle
        self._clock = clock
        self._ceiling: int | None = None
        self.cool_down()

    def cool_down(self) -> None:
        """Be as cold as after a while without power."""
        self._rise = 0.0
        self._since = self._clock()
        self._shut_down = False

    def climb_to(self, ceiling: int | None) -> None:
        """Climb from now on until the hottest sensor has ``ceiling`` degrees; None: fall back to idle."""
        self._advance()
        self._ceiling = ceiling

    def _advance(self) -> None:
        now = self._clock()
        step = (now - self._since) * DEGREES_PER_SECOND * 1000
        self._since = now
        limit = 0.0 if self._ceiling is None else max(0.0, self._ceiling * 1000 - max(self._idle))
        self._rise = min(self._rise + step, limit) if self._rise <= limit else max(self._rise - step, limit)
        self._shut_down = self._shut_down or max(self._idle) + self._rise >= SHUTDOWN * 1000

    @property
    def temperatures(self) -> tuple[int, ...]:
        """What the sensors read now, in the order they were given."""
        self._advance()
        return tuple(sensor + int(self._rise) for sensor in self._idle)

    @property
    def shut_down(self) -> bool:
        """Whether the card switched itself off, from which only ``cool_down`` brings it back."""
        self._advance()
        return self._shut_down

    def clock_mhz(self, wanted: int) -> int:
        """Return the clock the card runs at where ``wanted`` MHz is set."""
        steps = max(self.temperatures) // 1000 - CLOCK_STEPS_FROM + 1
        if steps <= 0:
            return wanted
        return min(wanted, reg.CLOCKS_MHZ[max(0, len(reg.CLOCKS_MHZ) - 1 - steps)])

    def mvm_percent(self, wanted: int) -> int:
        """Return the share of MVM the card runs at where ``wanted`` percent is set."""
        return min(wanted, THROTTLED_PERCENT) if max(self.temperatures) >= HARDWARE_THROTTLE * 1000 else wanted

    @property
    def slowdown(self) -> float:
        """How many times as long a product takes."""
        full = reg.CLOCKS_MHZ[-1]
        return full / self.clock_mhz(full) * 100 / self.mvm_percent(100)
