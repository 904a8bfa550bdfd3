"""Held-out samples and their rotations depend on the seed alone."""

import numpy as np
import torch
import toys

from twirlscope.settings.twirl import TwirlSettings
from twirlscope.twirling import heldout


def test_heldout_of__gives_the_same_rotations_for_the_same_seed():
    held = [heldout.heldout_of(toys.force_field(), np.arange(10), TwirlSettings(seed=s)) for s in (3, 3, 4)]
    assert torch.equal(held[0].quaternion, held[1].quaternion)
    assert not torch.equal(held[0].quaternion, held[2].quaternion)


def test_choose_samples__takes_a_sorted_subset_or_the_whole_split():
    split = np.arange(5, 25)
    chosen = heldout.choose_samples(split, TwirlSettings(samples=6))
    assert len(set(chosen) & set(split)) == 6
    assert (np.diff(chosen) > 0).all()
    for samples in (0, 20, 30):
        np.testing.assert_array_equal(heldout.choose_samples(split, TwirlSettings(samples=samples)), split)
