"""The pages that read a report: their tables come from its CSV files, here small ones with known content."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page():
    spec = importlib.util.spec_from_file_location("read_report", DOCS / "read_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report(tmp_path):
    """Two seeds of a run, one member of a sweep, one claim for two tasks, one ratio at two steps."""
    folder = tmp_path / "report" / "tables"
    folder.mkdir(parents=True)
    head = ["run", "seed", "final step [1]", "equivariance error [%]", "from [%]", "to [%]", "is rounding error"]
    rows = [["a", 0, 3000, 1.5, 1.2, 1.9, False], ["a", 1, 3000, 2.5, 2.2, 2.75, False]]
    rows += [["size_8k", 0, 3000, 9.0, 8.0, 10.0, False]]
    ends = pd.DataFrame(rows, columns=head)
    ends["stays below 2 % from [step]"], ends["learned fraction [1]"] = [398.0, None, None], [0.9, 0.95, 0.5]
    tables = {"headline": ends}
    tables["trainings"] = pd.DataFrame({"run": ["a", "a", "size_8k"], "task": "force_field", "parameters [1]": 1234})
    sweep = {"run": ["a", "a", "size_8k"], "seed": 0, "size": ["big", "big", "8k"], "step [1]": [10, 3000, 3000]}
    sweep |= {"equivariance error [%]": [50.0, 1.5, 9.0], "total loss [1]": [1.0, 0.25, 0.5]}
    tables["sweep_size_weighted"] = pd.DataFrame(sweep | {"trivial": [True, False, True]})
    claim = {"claim": "small", "for": ["force_field", "voxel_denoising"], "verdict": ["open", "holds"]}
    claim |= {"published": ["contradicted", "-"], "value [1]": [2.5, 1.0], "allowed": "at most 2", "limit is": "ours"}
    claim |= {
        "trainings": [2, 1],
        "published trainings": 0,
        "agree": [1, 1],
        "open because": ["one seed; and more", None],
    }
    tables["claims"] = pd.DataFrame(claim)
    ratio = {"run": "a", "matrix": "gauss_newton", "definition": "κ_E90", "step [1]": [0, 10, 3000]}
    ratio |= {"ratio [1]": [9.0, 2.0, 4.0], "ratio, low [1]": 1.0, "ratio, high [1]": 8.0}
    tables["condition_ratios"] = pd.DataFrame(ratio)
    for task, loss in (("voxel_denoising", [0.5]), ("force_field", [0.25, 0.125])):
        made = {"objective": ["augment", "none"][: len(loss)], "seeds [1]": 3, "FLOPs of training [TFLOP]": 2.0}
        made |= {"held-out loss [1]": loss, "held-out loss, from [1]": 0.1, "held-out loss, to [1]": 0.75}
        made |= {f"loss over that of augmentation{end} [1]": None for end in ("", ", from", ", to")}
        made |= {"equivariance error in percent of the loss [%]": 1.5, "loss with four frames [1]": None}
        made |= {"loss with 4 independent rotations at test time [1]": 0.0625}
        tables[f"objectives_a_{task}_ends"] = pd.DataFrame(made)
    law = {"network and objective": "a", "in": "FLOPs", "quantity": ["loss", "percent"], "runs": 5, "octaves [1]": 4.5}
    law |= {"exponent [1]": [-0.5, None], "exponent, from [1]": [-0.75, None], "exponent, to [1]": [-0.25, None]}
    tables["scaling_laws"] = pd.DataFrame(law | {"no exponent because": [None, "rounding error alone"]})
    names = ["exponent, learned less built in", *(f"loss at the {w}, learned over built in" for w in ("start", "end"))]
    pair = {f"{name}{end} [1]": [value] for name in names for end, value in (("", 2.0), (", from", 1.0), (", to", 4.0))}
    tables["scaling_pairs"] = pd.DataFrame({"in": ["FLOPs"], "built in": "b"} | pair)
    layer = {"run": "a", "seed": 0, "step [1]": [0, 10, 3000], "feature [1]": "blocks.0", "feature_rank [1]": 48}
    layer |= {"feature_defect [1]": [0.5, 0.25, 0.125], "feature_unsteerable [1]": [1.0, 0.5, -1e-16]}
    tables["layers"] = pd.DataFrame(layer | {f"copies of degree {d} [1]": [0.0, 1.0, d + 2.0] for d in range(3)})
    for name, found in tables.items():
        found.to_csv(folder / f"{name}.csv", index=False)
    words = "# Title?\n\n28 November. In 1 of 3.\n\n## Forces\n\n**1.5 %** of it.\n\n## Claims\n\n- ? open\n"
    (tmp_path / "report" / "README.md").write_text(words)
    return tmp_path / "report"


def test_parts__have_the_numbers_of_the_tables(page, report):
    read = page.Tables(report)
    (row,) = page.runs(read).splitlines()[2:]
    assert row == "| `a` | forces | 1,234 | 3,000 | 1.5 to 2.5 % (1.2 to 2.75) | 398, in 1 of 2 seeds | 90 to 95 % |"
    assert page.sweeps(read).splitlines()[2:] == [
        "| `size` | big | 1 | 1.5 % | 1.5 % | 0.25 |",
        "| `size` | 8k | 1 | 9 %, 1 learned nothing | - | 0.5 |",
    ]
    (row,) = page.claims(read).splitlines()[2:]
    assert "open, 1 of 2; 2.5 | **holds**; 1 | at most 2 (ours) | forces: contradicted | one seed |" in row
    (row,) = page.ratios(read).splitlines()[2:]
    assert row == "| gauss-newton | κ_E90 | 4 (1 to 8); 2 to 4 |", "the first checkpoint is not in the range"


def test_parts__can_be_of_some_claims_or_sweeps(page, report):
    read = page.Tables(report)
    assert page.sweeps(read, "size") == page.sweeps(read)
    text = page.rewritten("<!-- claims: small -->\n<!-- end -->", read)
    assert text == f"<!-- claims: small -->\n\n{page.claims(read)}\n<!-- end -->"
    for part, name in ((page.sweeps, "angle"), (page.claims, "large")):
        with pytest.raises(SystemExit, match=f"expected one of: s.*; got {name}"):
            part(read, name)
    with pytest.raises(SystemExit, match="laws: expected no names behind it, got size"):
        page.rewritten("<!-- laws: size -->\n<!-- end -->", read)


def test_objectives__are_sorted_by_task_and_loss(page, report):
    assert page.objectives(page.Tables(report)).splitlines()[2:] == [
        "| forces | none | 3 | 2 | 0.125 (0.1 to 0.75) | - | 1.5 % | 0.0625 | - |",
        "| forces | augment | 3 | 2 | 0.25 (0.1 to 0.75) | - | 1.5 % | 0.0625 | - |",
        "| voxels | augment | 3 | 2 | 0.5 (0.1 to 0.75) | - | 1.5 % | 0.0625 | - |",
    ]


def test_features__are_those_of_the_first_and_the_last_checkpoint(page, report):
    assert page.features(page.Tables(report)).splitlines()[2:] == [
        "| `a` | 0 | `blocks.0` | 48 | 0.5 | 0 | 0 | 0 | 100.0 % |",
        "| `a` | 3,000 | `blocks.0` | 48 | 0.125 | 2 | 3 | 4 | 0.0 % |",
    ]


def test_laws__have_an_exponent_or_the_reason_for_none(page, report):
    read = page.Tables(report)
    assert page.laws(read).splitlines()[2:] == [
        "| a | FLOPs | loss | 5 | 4.5 | -0.5 (-0.75 to -0.25) |  |",
        "| a | FLOPs | percent | 5 | 4.5 | - | rounding error alone |",
    ]
    assert page.pairs(read).splitlines()[2:] == ["| FLOPs | b | 2 (1 to 4) | 2 (1 to 4) | 2 (1 to 4) |"]


def test_answer__is_the_first_screen_without_title_and_claims(page, report):
    assert page.answer(page.Tables(report)) == "28 November. In 1 of 3.\n\n**Forces**\n\n**1.5 %** of it.\n"


@pytest.mark.parametrize(
    ("text", "folder", "said"), [("<!-- run -->\n<!-- end -->\n", "report", "no such parts: run"), ("", "x", "tables/")]
)
def test_mistakes__are_one_line_and_leave_the_page(report, tmp_path, text, folder, said):
    path = tmp_path / "words.md"
    path.write_text(text)
    command = [sys.executable, DOCS / "read_report.py", path, report.parent / folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert path.read_text() == text


def test_page__keeps_its_words_and_is_the_same_when_written_again(page, report, tmp_path):
    path = tmp_path / "words.md"
    path.write_text("Before.\n\n<!-- runs -->\nold\n<!-- end -->\n\nAfter.\n")
    for _ in range(2):
        subprocess.run([sys.executable, DOCS / "read_report.py", path, report], check=True)
        text = path.read_text()
        assert text.startswith("Before.\n\n<!-- runs -->\n\n| run |")
        assert text.endswith("|\n\n<!-- end -->\n\nAfter.\n")
        assert "old" not in text


@pytest.mark.parametrize(
    "path",
    sorted(p for p in DOCS.rglob("*.md") if not {"_build", "generated"} & set(p.parts)),
    ids=lambda path: path.stem,
)
def test_places__of_every_page_have_a_part_and_are_filled(page, path):
    text = path.read_text(encoding="utf-8")
    places = list(page.PLACE.finditer(text))
    assert len(places) == text.count("<!-- end -->")
    for place in places:
        assert place["name"] in page.PARTS
        end = r"\S" if place["name"] == "answer" else r"\|"  # the only part that is no table
        assert re.search(rf"{end}\n\n<!-- end -->$", place[0]), f"{path}: nothing at {place['name']}"
