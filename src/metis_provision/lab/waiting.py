"""Asking until the answer is yes: what the lab starts and stops takes as long as its machine is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_not_result, stop_after_delay, wait_fixed
from tenacity.stop import stop_never

Answer = TypeVar("Answer")


def asked_until(ask: Callable[[], Answer], seconds: float | None, pause: float = 0.05) -> Answer:
    """Call ``ask`` until its answer is true, with ``pause`` seconds between, and return that answer.

    The last answer, which is not true, if ``seconds`` are over (None: as long as it takes). It is asked once at
    least; what it raises is raised.
    """
    retrying = Retrying(
        stop=stop_never if seconds is None else stop_after_delay(seconds),
        wait=wait_fixed(pause),
        retry=retry_if_not_result(bool),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    return retrying(ask)
