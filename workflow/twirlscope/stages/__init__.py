"""The six steps of the workflow, each from files to one file; nothing but opening, looping over checkpoints, saving."""
