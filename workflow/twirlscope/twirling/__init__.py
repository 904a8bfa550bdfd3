"""Response of a model to rotations: twisted predictions, loss split, spectrum, Lie derivative, test-time averaging."""
