"""A PET with random weights against metatomic's own average over rotations, each in the environment of metatrain."""

import subprocess
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import write
from environments import python_of

from bench.potentials import symmetrized

KIT = Path(__file__).parents[3] / "kit"


@pytest.mark.timeout(1800)
def test_error_and_its_parts__of_pet_are_those_of_metatomic(tmp_path):
    """What averaging over the group O leaves is known to a tenth from many more orientations than these."""
    python, model, path = python_of("metatrain"), tmp_path / "pet.pt", tmp_path / "molecules.xyz"
    saved = f"from external_models import random_pet; random_pet().save({str(model)!r})"
    subprocess.run([python, "-c", saved], cwd=KIT, check=True)
    frames = [molecule("CH3CH2OH"), molecule("CH3COOH")]
    for seed, frame in enumerate(frames):
        frame.rattle(0.1, seed=seed)
    write(path, frames)
    found = symmetrized.compared(Path(python), model, symmetrized.molecules(path, tmp_path / "centred.xyz"))
    assert found[0].theirs > 1e-8  # [eV^2/Å^2]
    for quantity in found:
        if quantity.name != "O":
            assert abs(quantity.percent) <= symmetrized.LIMITS[quantity.name], quantity
