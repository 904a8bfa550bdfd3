"""Tasks, plug-ins: one file each."""
