"""Text that came from outside, made harmless."""

from __future__ import annotations


def literal(text: str) -> str:
    """Show characters that would act on a terminal (escape sequences, reversed writing) as what they are."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
