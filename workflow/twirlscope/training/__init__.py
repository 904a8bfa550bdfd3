"""From a task and a model to checkpoints: batches, loop, processes, state, cost."""
