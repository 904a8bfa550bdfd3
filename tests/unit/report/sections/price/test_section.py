"""The table of crossings."""

from synthetic import families

from twirlscope.report.sections.price import results, section
from twirlscope.report.sections.price.comparison import LEARNED, TWIRLED


def judged(trainings):
    (found,) = results.results(trainings)
    return found


def test_crossover_table__has_a_row_per_cost_number_of_inferences_and_family():
    found = judged(families())
    table = section.crossover_table([found]).numbers.data
    assert section.crossover_table([]) is None
    assert len(table) == sum(len(f) for numbers in found.crossovers.values() for f in numbers.values())
    row = table[(table["cost"] == "updates")].iloc[0]
    assert row["from"] == found.crossovers["updates"][0.0][LEARNED].cost
    assert TWIRLED in set(table["other"][table["inferences"] > 0])
