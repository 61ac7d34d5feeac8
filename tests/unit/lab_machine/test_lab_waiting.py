"""Asking until the answer is yes."""

from __future__ import annotations

import pytest

from metis_provision.lab.waiting import asked_until


def asking(answers):
    """A question that gets these answers one after the other, and what is left of them."""
    left = list(answers)
    return (lambda: left.pop(0)), left


@pytest.mark.parametrize("seconds", [None, 60])
def test_the_first_true_answer_is_returned_and_nothing_asked_after_it(seconds):
    ask, left = asking([None, "", "yes", "later"])
    assert asked_until(ask, seconds, 0) == "yes"
    assert left == ["later"]


def test_without_time_it_is_asked_once_and_the_answer_is_what_was_said():
    ask, left = asking(["", "yes"])
    assert asked_until(ask, 0, 0) == ""
    assert left == ["yes"]


def test_what_the_question_raises_is_raised_at_once():
    ask, left = asking([0])

    def broken():
        if ask() == 0:
            raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asked_until(broken, 60, 0)
    assert left == []
