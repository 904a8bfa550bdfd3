"""The equivariance error by degree and irrep, and what test-time twirling leaves of it."""
