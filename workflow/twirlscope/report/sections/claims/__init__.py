"""Claims of the paper and of the user: which numbers decide them, and the verdicts."""
