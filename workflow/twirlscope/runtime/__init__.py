"""The job and its machine: log, progress, device, precision, energy, identity, file access."""
