"""Settings of the stage `dynamics`."""

from __future__ import annotations

from pydantic import model_validator

from .base import LARGEST_SEED, Settings, key


class DynamicsSettings(Settings):
    """Short molecular dynamics at constant energy with the last checkpoint of an external model.

    Cost: `2 * frames * (steps + 1)` calls of the calculator, one structure each.
    """

    enabled: bool = key(False, "true runs the stage, false skips it", shapes=())
    split: str = key("test", "split from which the structures at the start are drawn")
    frames: int = key(16, "structures at the start, one trajectory each", ge=1)
    steps: int = key(200, "time steps of a trajectory", ge=2)
    timestep: float = key(0.5, "time step of velocity Verlet", "fs", gt=0)
    temperature: float = key(300.0, "temperature of the velocities at the start", "K", ge=0)
    every: int = key(5, "time steps between two records", ge=1)
    seed: int = key(0, "seed of the structures, velocities, rotations and of the bootstrap", ge=0, le=LARGEST_SEED)
    resamples: int = key(1000, "bootstrap resamples behind the intervals, each of whole clusters of samples", ge=100)

    @model_validator(mode="after")
    def _two_records(self):
        if self.every > self.steps:
            raise ValueError("every of at most steps: a drift is between two records")
        return self
