"""Rows of embedding tables for atomic numbers."""

from __future__ import annotations

import torch

from ..._typing import Int, Sequence, Tensor


class ElementRows(torch.nn.Module):
    """Table row of each atomic number: its position among the elements of the data, or the number itself.

    Args:
        elements: atomic numbers in the training data; others are refused, as their rows are not trained.
        rows: 0 for one row per element; else the rows of a table in which an element has its atomic number as row.

    Raises:
        ValueError: an atomic number beyond the table.
    """

    def __init__(self, elements: Sequence[int], rows: int = 0):
        super().__init__()
        self.elements, self.count = list(elements), rows or len(elements)
        if rows and max(self.elements) >= rows:
            raise ValueError(f"atomic numbers {self.elements} do not fit a table of {rows} rows")
        row = torch.full((max(self.elements) + 1,), -1)
        row[self.elements] = torch.tensor(self.elements) if rows else torch.arange(len(self.elements))
        self.register_buffer("row", row, persistent=False)

    def forward(self, numbers: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
        """Rows of atomic numbers.

        Raises:
            ValueError: an element that is not in the training data.
        """
        rows = self.row[numbers.clamp(0, len(self.row) - 1)].masked_fill(numbers >= len(self.row), -1)
        if (rows < 0).any():
            unknown = sorted(set(numbers[rows < 0].tolist()))
            raise ValueError(f"elements {unknown} are not among those of the training data, {self.elements}")
        return rows
