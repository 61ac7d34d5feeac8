"""The arithmetic of the virtual card: an INT8 matrix-vector product with 32-bit sums."""

from __future__ import annotations

import struct
from operator import mul

Matrix = tuple[tuple[int, ...], ...]


def matrix(weights: bytes, rows: int, cols: int) -> Matrix:
    """Return ``rows`` x ``cols`` signed bytes, row after row, as tuples of numbers."""
    values = memoryview(weights).cast("b").tolist()
    return tuple(tuple(values[row * cols : (row + 1) * cols]) for row in range(rows))


def multiply(weights: Matrix, vector: bytes) -> bytes:
    """Return the product as little-endian int32, one per row; ``vector`` holds a signed byte per column.

    Sums cannot overflow: 1024 columns of -128 x -128 need 25 bits.
    """
    values = memoryview(vector).cast("b").tolist()
    return struct.pack(f"<{len(weights)}i", *[sum(map(mul, row, values)) for row in weights])
