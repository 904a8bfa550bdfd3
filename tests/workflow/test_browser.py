"""The report in a real browser, where there is one: it fits a telephone and a desktop, and asks nobody for anything."""

import json
import re
import shutil
import subprocess

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium on the path")
QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
)
HARNESS = """<!doctype html><title>harness</title><iframe id=f width={width} height=900 src="{page}"></iframe>
<pre id=out></pre><script>
document.getElementById("f").onload = function () {{
  const d = this.contentDocument, w = this.contentWindow, root = d.documentElement;
  const wide = [...d.querySelectorAll("body *")].filter(e => !e.closest("[tabindex]") && !e.closest("svg")
    && !e.closest(".skip") && e.getBoundingClientRect().right > w.innerWidth + 1)
    .map(e => e.tagName + "." + e.className);
  const drawn = [...d.querySelectorAll("figure svg")].filter(s => s.getBoundingClientRect().width > 0);
  const link = d.querySelector("a.skip"); link.focus();
  document.getElementById("out").textContent = JSON.stringify({{
    sideways: root.scrollWidth - w.innerWidth, wide: wide, figures: d.querySelectorAll("figure").length,
    drawn: drawn.length, narrowest: Math.min(...drawn.map(s => s.getBoundingClientRect().width)),
    requests: w.performance.getEntriesByType("resource").map(e => e.name),
    skip: link.getBoundingClientRect().left >= 0 && link.getBoundingClientRect().top >= 0}});
}};
</script>"""


def look(page, tmp_path, width):
    """What the page looks like to a script beside it, at this width [px]."""
    (tmp_path / "harness.html").write_text(HARNESS.format(width=width, page=page.as_uri()))
    options = ["--allow-file-access-from-files", "--virtual-time-budget=20000", "--window-size=1400,1000", "--dump-dom"]
    command = [BROWSER, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", *options]
    done = subprocess.run(
        [*command, (tmp_path / "harness.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r"<pre id=.out.>(.+?)</pre>", done.stdout)
    assert found, done.stdout[-2000:]
    return json.loads(found[1].replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("width", [360, 1280])
def test_report__fits_the_screen_and_draws_every_figure_once(project, tmp_path, width):
    seen = look(project.work / "results" / "report" / "index.html", tmp_path, width)
    assert seen["sideways"] <= 0, seen["wide"]
    assert seen["figures"] == seen["drawn"] > 5
    assert seen["narrowest"] > 0.7 * min(width, 800)
    assert seen["requests"] == []
    assert seen["skip"], "the skip link shows itself when it has the focus"
