"""Errors whose text is written for the person who runs the command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of ``metis-provision``; where several apply the order is 4 > 3 > 1 > 2 > 0."""

    OK = 0
    FAILED = 1
    PENDING = 2
    UNREACHABLE = 3
    BAD_INPUT = 4
    INTERRUPTED = 130


class UserError(Exception):
    """One sentence for the user: what is wrong, where, and what to do about it.

    ``exit_code`` is what the command exits with; bad input unless the raiser knows better.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code
