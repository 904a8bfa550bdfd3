"""The equivariance error by degree and by irrep, and the residual of averaging over sets of rotations."""
