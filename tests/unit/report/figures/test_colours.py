"""One colour, one meaning on the whole page."""

from itertools import combinations

import numpy as np
import synthetic
from matplotlib.colors import to_rgb

from twirlscope.report.figures import style
from twirlscope.report.figures.curves import run_looks
from twirlscope.report.trainings import Training, by_run

MEANINGS = {
    **{f"run {i}": colour for i, colour in enumerate(style.RUNS)},
    **{part: look.colour for part, look in style.PARTS.items()},
    **{f"family {name}": colour for name, colour in style.FAMILIES.items()},
}


def lab(colour):
    """Lightness, green to red, blue to yellow. Source: CIE 1976, D65."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(matrix @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours__of_two_meanings_are_never_alike():
    for (one, a), (other, b) in combinations(MEANINGS.items(), 2):
        assert np.linalg.norm(lab(a) - lab(b)) > 15, (one, other)


def test_run__has_the_same_look_in_a_figure_that_lacks_other_runs():
    trainings = [Training(run, 0, None, synthetic.twirl(), number=i) for i, run in enumerate("abc")]
    every, some = (run_looks(by_run(chosen)) for chosen in (trainings, trainings[1:]))
    assert [some[run] for run in "bc"] == [every[run] for run in "bc"]
    assert len({look.colour for look in every.values()}) == 3


def test_shades__go_from_dark_to_light():
    lightness = [lab(look.colour)[0] for look in style.shades(range(6))]
    assert lightness == sorted(lightness)
