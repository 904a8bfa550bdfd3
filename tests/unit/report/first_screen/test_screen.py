"""The first screen as data and as text."""

import numpy as np
import synthetic

from twirlscope.report.first_screen.cards import cards
from twirlscope.report.first_screen.screen import FirstScreen, data_line, markdown, title_of
from twirlscope.report.first_screen.strip import Chip
from twirlscope.report.trainings import Training


def test_title__counts_networks_that_learn_and_asks_another_question_without_any():
    learned = [Training(name, k, synthetic.train(), synthetic.twirl()) for name in "ab" for k in (0, 1)]
    built = Training("c", 0, synthetic.train().assign_attrs(equivariant=True), synthetic.twirl())
    assert title_of([*learned, built], []) == (
        "How fast, how completely and at what cost do 2 networks learn rotation?"
    )
    assert title_of([built], []) == "How exact is the rotation symmetry built into 1 network?"
    assert title_of([], learned) == "How exact is the rotation symmetry of 2 potentials?"


def test_data_line__warns_of_molecules_in_training_and_test():
    data = synthetic.frames().assign_attrs(labels="GFN2-xTB (semiempirical), tblite 0.8.0")
    line = data_line("md", data)
    assert line.startswith("md: ")
    assert "GFN2-xTB (semiempirical), tblite 0.8.0" in line
    assert "same molecules in training and test" in line
    apart = data.assign(molecule=("sample", data["split"].values.astype(np.int32)))
    assert "test molecules are not in training" in data_line("md", apart)
    remark = data.assign_attrs(labels="synthetic traces (a chain of angles fitted to others), no real ones")
    assert "synthetic traces, no real ones" in data_line("md", remark)
    assert "training" not in data_line("chains", data.drop_vars("molecule").drop_attrs())


def test_markdown__has_all_of_the_screen():
    trainings = [Training("a", 0, synthetic.train(), synthetic.twirl(), dataset="md")]
    (card,) = cards(trainings, [], 2.0)
    chip = Chip("stays below", "open", "2.3 %, limit ≤ 2 %", ours=True)
    screen = FirstScreen("Q?", "1 May 2026", ["md: x"], "A.", [card], None, [chip], ["size"], ["gone"], ["few"])
    text = markdown(screen)
    for words in (
        "# Q?",
        "1 May 2026. A.",
        "- md: x",
        card.heading,
        f"**{card.error}**",
        "? open: stays below",
        "size",
    ):
        assert words in text
    assert "(limit ours)" in text
    assert text.index("gone") < text.index("few") < text.index("index.html")
    assert all(f"- {name}: {words}" in text for name, words in card.facts.items())
