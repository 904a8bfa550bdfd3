"""Sections as parts of the page: which of their figures are open, and how the folded ones are announced."""

import pandas as pd
from matplotlib.figure import Figure as Canvas

from twirlscope.report import page
from twirlscope.report.figures.figure import Figure, tabbed
from twirlscope.report.first_screen.screen import FirstScreen
from twirlscope.report.numbers import numbers
from twirlscope.report.questions import QUESTIONS, SYMMETRY, WHY
from twirlscope.report.section import Section
from twirlscope.report.tables import Table

ROWS = numbers(pd.DataFrame({"a": [1]}))


def figure(name):
    return Figure(name, Canvas(), Canvas(), name, "", "", ROWS)


def content(sections, first=None):
    screen = FirstScreen("Q?", "", [], "", [], first, [], [], [], [])
    return page.Content(screen, 2.0, [], [], sections, {}, {}, "", "", "")


def names(figures):
    return [[drawing.figure.name for drawing in tabs] for tabs in figures]


def test_questions__open_the_first_figures_with_their_tabs_and_fold_the_others():
    lead, *_ = tabbed([figure("a"), None, figure("a2")])
    section = Section(
        SYMMETRY, "s", "S", figures=[lead, figure("b")], tables=[("T", Table("t", "", ROWS))], open_figures=1
    )
    ((question, (part,)),) = page.questions(content([section]))
    assert question is SYMMETRY
    assert (names(part.open_figures), names(part.more_figures)) == ([["a", "a2"]], [["b"]])
    assert part.more == "1 figure, 1 table"
    assert not part.folded
    assert [f.name for f in content([section]).every_figure] == ["a", "a2", "b"]


def test_questions__fold_what_belongs_to_a_folded_question_or_has_nothing_open():
    why = Section(WHY, "w", "W", ["said"], [figure("a")], open_figures=1)
    plain = Section(SYMMETRY, "p", "P", figures=[figure("b")])
    told = Section(SYMMETRY, "t", "T", ["said"])
    parts = [part for _, parts in page.questions(content([plain, told, why])) for part in parts]
    assert [part.folded for part in parts] == [True, False, True]
    assert all(not part.open_figures for part in parts)


def test_questions__open_no_more_figures_than_fit_whatever_the_sections_ask_for():
    sections = [
        Section(SYMMETRY, f"s{k}", "S", figures=[figure(f"f{k}"), figure(f"g{k}")], open_figures=2) for k in range(7)
    ]
    found = page.questions(content(sections, first=figure("first")))
    count = sum(len(part.open_figures) for _, parts in found for part in parts)
    assert count + 1 == page.MOST_OPEN


def test_questions__have_anchors_of_their_own():
    anchors = [question.anchor for question in QUESTIONS]
    assert len(set(anchors)) == len(anchors)
