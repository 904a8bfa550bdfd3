"""The section on scaling, on made-up trainings whose power laws are known."""

import numpy as np
import pytest
from scaling_worlds import AUGMENT, SAMPLES, STEPS, along, families, training

from twirlscope.report.sections.scaling import families as grouping
from twirlscope.report.sections.scaling.laws import law, law_numbers, laws, pairs
from twirlscope.report.sections.scaling.section import section


def found_for(trainings, axis, quantity="loss_total"):
    (family,) = grouping.families(trainings)
    return law(family, axis, quantity)


@pytest.mark.parametrize(("key", "axis"), [("steps", "flops"), ("samples", "samples")])
def test_law__of_exact_losses_has_their_exponent(key, axis):
    values = {"steps": STEPS, "samples": SAMPLES}[key]
    found = found_for(along(key, values, -0.4), axis)
    assert found.interval == pytest.approx((-0.4,) * 3)
    assert found.octaves == pytest.approx(5)


def test_law__in_parameters_is_in_their_number_and_not_in_the_width():
    found = found_for(along("width", (8, 16, 32, 64), -0.4), "parameters")
    assert found.interval.value == pytest.approx(-0.2)
    assert found.octaves == pytest.approx(6)


def test_law__of_every_quantity_is_its_own():
    runs = [training(x**-0.5, 10 * x**-0.25, samples=x) for x in (1, 4, 16, 64)]
    exponents = {q: found_for(runs, "samples", q).interval.value for q in ("loss_equiv", "percent_equiv")}
    assert exponents == pytest.approx({"loss_equiv": -0.75, "percent_equiv": -0.25})


def test_law__over_a_short_range_has_no_exponent_and_says_so():
    found = found_for(along("steps", (64, 96, 144, 200, 256), -0.4), "flops")
    assert (found.fitted, found.reason) == (None, "too few runs: 3 of 4")
    found = found_for(along("samples", (64, 96, 144, 256), -0.4), "samples")
    assert (found.fitted, found.reason) == (None, "too short a range: 2.0 octaves")
    table = law_numbers([found]).data
    assert table["reason"][0] == "too short a range: 2.0 octaves"
    assert np.isnan(table["exponent"][0])


def test_law__in_flops_takes_the_lowest_loss_of_every_octave_of_all_sizes():
    small, large = (along("steps", STEPS, e, level, width=w) for w, e, level in ((8, -0.1, 1.0), (16, -0.4, 1.5)))
    (family,) = grouping.families([*small, *large])
    chosen = family.along("flops")
    assert len(family.runs) == 12
    assert [r.seeds[0].spec["model"]["width"] for r in chosen] == [8, 8, 8, 8, 8, 16, 16, 16]


def test_family__holds_size_length_and_samples_together_and_nothing_else():
    every = [
        *along("steps", STEPS[:2], -0.4),
        *along("samples", SAMPLES[:2], -0.4),
        *along("steps", STEPS[:2], -0.4, objective=AUGMENT | {"copies": 4}),
        *along("steps", STEPS[:2], -0.4, built_in=True),
        *along("steps", STEPS[:2], -0.4, dataset="other"),
    ]
    names = [(f.dataset, f.name, len(f.runs)) for f in grouping.families(every)]
    assert names == [
        ("md", "net, augment", 4),
        ("md", "net, augment copies 4", 2),
        ("md", "exact", 2),
        ("other", "net, augment", 2),
    ]


def test_family__leaves_out_what_has_not_learned():
    runs = [training(1.0, samples=10, trivial=True), *along("samples", SAMPLES, -0.4)]
    assert found_for(runs, "samples").interval.value == pytest.approx(-0.4)
    runs = [training(1.0, samples=n, trivial=n < 400) for n in SAMPLES]
    assert found_for(runs, "samples").reason == "too few runs: 3 of 4; not yet learned: 3"
    made = section([training(1.0, samples=n, trivial=n < 1600) for n in SAMPLES])
    assert "no exponent in training samples (too few runs: 1 of 4; not yet learned: 5)" in made.sentences[0]


def test_built_in_symmetry__has_no_exponent_of_rounding_error():
    runs = [t for x in SAMPLES for t in [training(x**-0.5, 1e-10, samples=x, built_in=True, floor=1.0)]]
    assert found_for(runs, "samples", "loss_equiv").reason == "rounding error alone"
    assert found_for(runs, "samples").fitted


def test_pairs__compare_exponents_and_both_ends():
    (one,) = [p for p in pairs(laws(grouping.families(families(0.2, 2.0, noise=(0, 0))))) if p.learned.axis == "flops"]
    assert one.difference.value == pytest.approx(0.2)
    assert [r.value for r in one.ratios] == pytest.approx([2.0, 2 * 32**0.2])


def test_section__says_first_which_symmetry_scales_better():
    made = section(families(0.2, 2.0, np.random.default_rng(0), noise=(0.02, 0.02)))
    assert "with built-in symmetry (exact); built-in symmetry scales better." in made.sentences[0]
    assert "FLOPs of training to the power" in made.sentences[0]
    (figure,) = made.figures
    assert set(figure.files) == {".svg", "_narrow.svg", ".pdf"}
    assert set(figure.numbers.data["quantity"]) == {"held-out loss", "equivariance error"}
    assert [name for name, _ in made.tables] == ["Exponents", "Learned against built-in symmetry"]


def test_section__without_enough_runs_is_empty():
    assert section(along("steps", STEPS[:3], -0.4)).empty
    assert section([]).empty


def test_section__of_one_family_says_its_exponent():
    made = section(along("samples", SAMPLES, -0.4, random=np.random.default_rng(1), noise=(0.02, 0.02)))
    assert "the held-out loss of net, augment goes as the training samples to the power" in made.sentences[0]
