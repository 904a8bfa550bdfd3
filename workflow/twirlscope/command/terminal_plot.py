"""A curve drawn with braille characters, both axes logarithmic."""

from __future__ import annotations

import numpy as np

from .._typing import Array, Float

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille character, from the top
MARGIN = 9  # characters left of the curve


def curve(x: Float[Array, " n"], y: Float[Array, " n"], width: int, height: int) -> list[str]:
    """Lines of a curve, with the ends of both axes; values that are not positive or not finite are left out.

    Args:
        x: ascending.
        width, height: of the whole in characters.
    """
    good = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    if not good.any():
        return ["no values yet"]
    x, y = x[good], y[good]
    columns, rows = 2 * max(width - MARGIN - 1, 4), 4 * max(height - 1, 1)
    at, level = _places(np.log(x), columns), _places(-np.log(y), rows)
    dots = np.zeros((rows, columns), bool)
    for column, (low, high) in enumerate(_spans(at, level, columns)):
        dots[low : high + 1, column] = low >= 0
    cells = dots.reshape(rows // 4, 4, columns // 2, 2)
    lines = ["".join(chr(0x2800 + int((cell * DOTS).sum())) for cell in row) for row in cells.transpose(0, 2, 1, 3)]
    labels = [f"{y.max():.3g}", *[""] * (len(lines) - 2), f"{y.min():.3g}"][: len(lines)]
    drawn = [f"{label:>{MARGIN - 1}} ┤{line}" for label, line in zip(labels, lines, strict=True)]
    first, last = f"{x[0]:,.0f}", f"{x[-1]:,.0f}"
    return [*drawn, " " * (MARGIN + 1) + first + last.rjust(columns // 2 - len(first))]


def _places(values: Float[Array, " n"], count: int) -> Float[Array, " n"]:
    """Values scaled to places 0 to `count` - 1; the middle where all are equal."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) * (count - 1) if high > low else np.full(len(values), (count - 1) / 2)


def _spans(at: Float[Array, " n"], level: Float[Array, " n"], columns: int) -> list[tuple[int, int]]:
    """First and last row of each column; (-1, -1) outside of the curve. Between values it is a straight line."""
    column, spans = np.rint(at).astype(int), []
    for c in range(columns):
        inside = level[column == c]
        if at[0] < c < at[-1]:
            inside = np.append(inside, np.interp([c - 0.5, c, c + 0.5], at, level))
        spans.append((round(inside.min()), round(inside.max())) if len(inside) else (-1, -1))
    return spans
