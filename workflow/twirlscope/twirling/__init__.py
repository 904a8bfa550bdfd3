"""What rotations do to a model: twisted predictions, loss split, spectrum, Lie derivative, test-time averaging."""
