"""The report in a real browser, where there is one: it fits every screen, draws every chart, bars nobody."""

import html
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
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (holds) => {{ for (let i = 0; i < 600 && !holds(); i++) await wait(100); }};
async function look(d, w) {{
  const root = d.documentElement, said = [];
  w.addEventListener("error", (e) => said.push(String(e.message)));
  w.addEventListener("unhandledrejection", (e) => said.push(String(e.reason)));
  w.console.error = (...words) => said.push(words.join(" ")); // Vega warns where nothing is left to draw
  const drawings = [...d.querySelectorAll("figure img")];
  drawings.forEach((i) => {{ i.loading = "eager"; }});
  await until(() => drawings.every((i) => i.complete));
  const drawn = drawings.filter((i) => i.naturalWidth > 0); // those in folds and behind tabs, too
  const narrowestOf = (some) => Math.min(...some.map((i) => i.getBoundingClientRect().width).filter((px) => px > 0));
  const beside = drawn.filter((i) => i.closest(".columns")); // the first screen's figure, beside the cards
  const narrowest = narrowestOf(drawn.filter((i) => !beside.includes(i))), leading = narrowestOf(beside);
  const link = d.querySelector("a.skip"); link.focus();
  const skip = link.getBoundingClientRect().left >= 0 && link.getBoundingClientRect().top >= 0;
  link.blur();
  if ({open}) {{
    d.querySelectorAll("figure .links button").forEach((b) => b.click());
    d.querySelectorAll("details").forEach((e) => {{ e.open = true; }});
    await until(() => [...d.querySelectorAll(".chart")].every((c) => c.dataset.drawn));
    d.querySelectorAll(".bar input").forEach((b) => b.click());
    await wait(3000);
  }}
  const panel = d.querySelector(".chart .panel");
  const ticks = () => panel && panel.querySelector(".role-axis").parentNode.textContent;
  const before = ticks();
  for (const key of panel ? ["+", "n"] : []) panel.dispatchEvent(new w.KeyboardEvent("keydown", {{ key }}));
  await wait(500);
  const charts = [...d.querySelectorAll(".chart")];
  const wide = [...d.querySelectorAll("body *")].filter((e) => !e.closest("[tabindex]") && !e.closest("svg")
    && !e.closest(".skip") && e.getBoundingClientRect().right > w.innerWidth + 1)
    .map((e) => e.tagName + "." + e.className);
  let violations = null;
  if ({open} && "{axe}") {{
    const script = d.createElement("script");
    script.src = "{axe}";
    await new Promise((done) => {{ script.onload = done; d.head.append(script); }});
    const found = await w.axe.run(d, {{ resultTypes: ["violations"] }});
    violations = found.violations.map((v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200)]);
  }}
  return {{
    sideways: root.scrollWidth - w.innerWidth, wide, figures: d.querySelectorAll("figure").length, drawn: drawn.length,
    narrowest, leading, skip, said, violations, charts: charts.length, zoomed: before !== ticks(),
    told: panel && panel.closest(".explored").querySelector(".told").textContent,
    empty: charts.filter((c) => c.querySelectorAll("path").length < 5).map((c) => c.closest("figure").dataset.name),
    tables: [...d.querySelectorAll(".numbers table")].filter((t) => t.tBodies[0].rows.length > 0).length,
    requests: w.performance.getEntriesByType("resource").map((e) => e.name),
  }};
}}
document.getElementById("f").onload = function () {{
  look(this.contentDocument, this.contentWindow).catch((e) => ({{ failed: String(e) + e.stack }}))
    .then((found) => {{ document.getElementById("out").textContent = JSON.stringify(found); }});
}};
</script>"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The accessibility checker axe-core, from npm; nothing where that is not to be had."""
    folder, npm = tmp_path_factory.mktemp("axe"), shutil.which("npm")
    if npm:
        subprocess.run([npm, "pack", "axe-core@4", "--silent"], cwd=folder, capture_output=True, timeout=120)
    for archive in folder.glob("*.tgz"):
        shutil.unpack_archive(archive, folder, "gztar")
    return next(folder.glob("package/axe.min.js"), None)


def look(page, tmp_path, width, opened=False, axe=None):
    """What the page looks like to a script beside it, at this width [px]; `opened` opens all that can be opened."""
    settings = {"width": width, "page": page.as_uri(), "open": str(opened).lower(), "axe": axe.as_uri() if axe else ""}
    (tmp_path / "harness.html").write_text(HARNESS.format(**settings))
    options = [
        "--allow-file-access-from-files",
        "--virtual-time-budget=120000",
        "--window-size=1400,1000",
        "--dump-dom",
    ]
    command = [BROWSER, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", *options]
    done = subprocess.run(
        [*command, (tmp_path / "harness.html").as_uri()], capture_output=True, text=True, timeout=400, check=True
    )
    found = re.search(r"<pre id=.out.>(.+?)</pre>", done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("width", [360, 1280])
def test_report__fits_the_screen_and_draws_every_figure(project, tmp_path, width):
    seen = look(project.work / "results" / "report" / "index.html", tmp_path, width)
    assert seen["sideways"] <= 0, seen["wide"]
    assert seen["figures"] == seen["drawn"] > 5
    assert seen["narrowest"] > 0.7 * min(width, 800)
    assert seen["leading"] > 0.7 * min(width, 700)
    assert all(r.startswith((project.work / "results" / "report").as_uri()) for r in seen["requests"])
    assert seen["skip"], "the skip link shows itself when it has the focus"
    assert seen["said"] == []


def test_report__draws_every_chart_in_both_scales_and_bars_nobody(project, tmp_path, axe):
    seen = look(project.work / "results" / "report" / "index.html", tmp_path, 1280, opened=True, axe=axe)
    assert seen["charts"] > 10
    assert seen["empty"] == []
    assert seen["zoomed"], "the key + zooms"
    assert "training step: " in seen["told"], "the key n tells a point"
    assert seen["tables"] == seen["figures"]
    assert seen["sideways"] <= 0, seen["wide"]
    assert seen["said"] == []
    if axe is None:
        pytest.skip("axe-core is not to be had from npm here: the page's accessibility was not checked")
    assert seen["violations"] == []


PAGE_HARNESS = """<!doctype html><title>harness</title><iframe id=f width={width} height=900 src="{page}"></iframe>
<pre id=out></pre><script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
async function look(d, w) {{
  await wait(1000);
  const shown = (e) => e.checkVisibility() && e.getClientRects().length > 0;
  const top = (query) => {{ const e = d.querySelector(query); return e && e.getBoundingClientRect().top; }};
  const links = [...d.querySelectorAll(".menu > ul > li > a")], marked = [];
  const screens = d.documentElement.scrollHeight / 900;
  const open = [...d.querySelectorAll("figure")].filter(shown).length;
  const first = Object.fromEntries(["h1", ".task", "figure", "#strip"].map((query) => [query, top(query)]));
  d.documentElement.style.scrollBehavior = "auto";
  for (const link of links) {{
    d.getElementById(link.hash.slice(1)).scrollIntoView();
    w.dispatchEvent(new w.Event("scroll")); // no frames are drawn in virtual time
    await wait(50);
    marked.push(links.filter((l) => l.hasAttribute("aria-current")).map((l) => l.hash).join());
  }}
  const reached = [];
  for (const title of d.querySelectorAll("[id^=figure-]")) {{ // one address away
    w.location.hash = title.id;
    await wait(50);
    reached.push([title.id, shown(title)]);
  }}
  const tabs = d.querySelector("[role=tablist]");
  let keyed = null;
  if (tabs) {{
    tabs.children[0].click();
    tabs.children[0].dispatchEvent(new w.KeyboardEvent("keydown", {{ key: "ArrowRight", bubbles: true }}));
    keyed = d.activeElement === tabs.children[1] && tabs.children[1].getAttribute("aria-selected") === "true";
  }}
  const hidden = reached.filter(([, s]) => !s), hashes = links.map((l) => l.hash);
  return {{ screens, open, first, hashes, marked, keyed, hidden }};
}}
document.getElementById("f").onload = function () {{
  look(this.contentDocument, this.contentWindow).catch((e) => ({{ failed: String(e) + e.stack }}))
    .then((found) => {{ document.getElementById("out").textContent = JSON.stringify(found); }});
}};
</script>"""


def page_look(page, tmp_path, width):
    """Length, first screen, menu, addresses and tabs of the page at this width [px]."""
    (tmp_path / "harness.html").write_text(PAGE_HARNESS.format(width=width, page=page.as_uri()))
    options = ["--allow-file-access-from-files", "--virtual-time-budget=60000", "--window-size=1600,1000", "--dump-dom"]
    command = [BROWSER, *QUIET.split(), f"--user-data-dir={tmp_path / 'profile'}", *options]
    done = subprocess.run(
        [*command, (tmp_path / "harness.html").as_uri()], capture_output=True, text=True, timeout=400, check=True
    )
    return json.loads(html.unescape(re.search(r"<pre id=.out.>(.+?)</pre>", done.stdout, re.DOTALL)[1]))


def test_report__answers_on_its_first_screen_and_is_short(project, tmp_path):
    seen = page_look(project.work / "results" / "report" / "index.html", tmp_path, 1440)
    assert seen["screens"] <= 12
    assert 0 < seen["open"] <= 8
    assert all(0 <= top < 900 for top in seen["first"].values()), seen["first"]


def test_report__has_a_menu_that_follows_the_scroll_and_an_address_of_every_figure(project, tmp_path):
    seen = page_look(project.work / "results" / "report" / "index.html", tmp_path, 1440)
    first = seen["marked"].index(seen["hashes"][-1])  # the end of the page holds several short parts
    assert seen["marked"][:first] == seen["hashes"][:first]
    assert first > 4
    assert seen["marked"][-1] == seen["hashes"][-1]
    assert seen["hidden"] == []
    assert seen["keyed"] is True
