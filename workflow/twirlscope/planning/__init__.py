"""Answers to what Snakemake asks before a job starts: the checked config, sweeps, job parameters, hashes of code."""
