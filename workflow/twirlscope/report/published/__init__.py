"""Published trainings, as a packaged table of points that were read from figures."""
