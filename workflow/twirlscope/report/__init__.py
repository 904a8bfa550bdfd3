"""The report: one page, its figures, and its numbers as CSV, made from the stores of all trainings."""
