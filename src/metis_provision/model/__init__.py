"""Plain typed values that every other room imports; this room imports none of them."""
