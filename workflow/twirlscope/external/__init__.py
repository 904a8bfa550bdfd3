"""Potentials of other packages: a worker process with their Python, its client, and a cache of its answers."""
