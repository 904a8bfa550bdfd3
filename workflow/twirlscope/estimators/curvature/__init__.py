"""Statistics of curvature: eigenvalues, condition numbers with their intervals, and the roughness of a landscape."""
