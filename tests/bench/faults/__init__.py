"""Faults that happen to a run, such as kills and full disks: one module per kind, each with a list `FAULTS`."""
