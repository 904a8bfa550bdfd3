"""Claims of papers on how networks learn symmetry, judged by the trainings of the report."""
