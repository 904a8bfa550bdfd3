// Interactive charts, the numbers of a figure, tables to sort and filter. The page is complete without them.
"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const held = (id) => { const found = document.getElementById(id); return found && JSON.parse(found.textContent); };
  const value = (column, row) => (Array.isArray(column) ? column[row] : column.texts[column.codes[row]]);
  const short = (v) => (v === null ? "–" : typeof v === "number" && !Number.isInteger(v) ? String(Number(v.toPrecision(3))) : String(v));
  const make = (tag, settings = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), settings);
    made.append(...children);
    return made;
  };

  let bundle = null; // loaded once, when the first chart is opened
  const vega = () => (bundle ??= new Promise((done, failed) => {
    const script = make("script", { src: "charts.js", onload: done, onerror: () => failed(new Error("charts.js is missing")) });
    document.head.append(script);
  }));

  function rows(numbers) {
    const names = ["panel", "line", "seed", "x", "y", "low", "high"];
    return Array.from({ length: numbers.rows }, (_, row) =>
      Object.fromEntries(names.map((name, i) => [name, value(numbers.columns[i], row)])));
  }

  function scaled(spec, axis, log) {
    const kind = log ? (axis === "x" ? "symlog" : "log") : "linear";
    const visit = (part) => {
      const { scale, axis: drawn } = part.encoding?.[axis] ?? {};
      if (scale) Object.assign(scale, { type: kind, zero: kind === "log" ? undefined : false });
      if (drawn) drawn.values = log ? spec.usermeta.ticks[axis] : undefined;
      (part.layer ?? []).forEach(visit);
    };
    visit(spec);
    if (axis === "y") spec.params.find((p) => p.name === "positive").value = log;
  }

  async function draw(place, spec, numbers) {
    await vega();
    const soft = dark.matches ? "#a9aeb5" : "#57606a", line = dark.matches ? "#3a3e44" : "#e4e4e4";
    const config = {
      background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
      axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: soft, tickColor: soft, titleFontWeight: "normal" },
      legend: { labelColor: dark.matches ? "#e6e4df" : "#1f2328" },
    };
    const whole = { ...spec, datasets: { numbers: rows(numbers) }, config };
    await window.vegaEmbed(place, whole, { actions: false, renderer: "svg", mode: "vega-lite" });
    place.dataset.drawn = "yes";
  }

  function explore(figure, name, button) {
    const spec = held(`chart-${name}`), numbers = held(`numbers-${name}`);
    const place = make("div", { className: "chart" });
    const bar = make("div", { className: "bar" });
    const again = () => draw(place, spec, numbers).catch((error) => { console.error(error.message); place.textContent = error.message; });
    for (const axis of ["x", "y"]) {
      const box = make("input", { type: "checkbox", checked: spec.usermeta.log[axis] });
      box.addEventListener("change", () => { scaled(spec, axis, box.checked); again(); });
      bar.append(make("label", {}, box, ` logarithmic ${axis}`));
    }
    bar.append(make("span", { className: "hint", textContent: "Click a name in the legend to single it out; with Shift, several." }));
    const panel = make("div", { className: "card explored" }, bar, place);
    button.before(panel);
    dark.addEventListener("change", again);
    again();
    return panel;
  }

  function listed(figure, name, button) {
    const numbers = held(`numbers-${name}`), used = numbers.heads.map((_, i) => i).filter((i) =>
      numbers.columns[i].texts ? numbers.columns[i].texts.some((t) => t !== "") : true);
    const head = make("tr", {}, ...used.map((i) => make("th", { scope: "col", textContent: numbers.heads[i] })));
    const body = make("tbody");
    for (let row = 0; row < numbers.rows; row++) {
      const cells = used.map((i) => make("td", { textContent: short(value(numbers.columns[i], row)),
        className: Array.isArray(numbers.columns[i]) ? "number" : "" }));
      body.append(make("tr", {}, ...cells));
    }
    const title = figure.previousElementSibling.textContent;
    const more = numbers.all > numbers.rows ? ` The first ${numbers.rows} of ${numbers.all} rows; all are in the CSV.` : "";
    const caption = make("caption", {}, make("span", { textContent: `Numbers of: ${title}.${more}` }));
    const wide = make("div", { className: "wide numbers", tabIndex: 0 }, make("table", {}, caption, make("thead", {}, head), body));
    wide.setAttribute("role", "region");
    wide.setAttribute("aria-label", `Numbers of the figure, scrolls: ${title}`);
    button.before(wide);
    return wide;
  }

  function toggles(figure, name, words, open) {
    const button = make("button", { type: "button", textContent: words });
    const title = figure.previousElementSibling.textContent;
    button.setAttribute("aria-label", `${words}: ${title}`);
    button.setAttribute("aria-expanded", "false");
    let panel = null;
    button.addEventListener("click", () => {
      if (panel === null) panel = open(figure, name, figure.querySelector(".links"));
      else panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
    });
    return button;
  }

  function publishedSwitch(figure, name) {
    const box = make("input", { type: "checkbox", checked: true });
    const picture = figure.querySelector("picture"), kind = () => (box.checked ? "" : "_plain");
    box.addEventListener("change", () => {
      picture.querySelector("source").srcset = `figures/${name}${kind()}_narrow.svg`;
      picture.querySelector("img").src = `figures/${name}${kind()}.svg`;
    });
    return make("label", { className: "published" }, box, " published curves");
  }

  for (const figure of document.querySelectorAll("figure[data-name]")) {
    const name = figure.dataset.name, links = figure.querySelector(".links");
    links.prepend(toggles(figure, name, "Numbers", listed), " ");
    if ("plain" in figure.dataset) links.prepend(publishedSwitch(figure, name), " ");
    if (document.getElementById(`chart-${name}`)) links.prepend(toggles(figure, name, "Explore", explore), " ");
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const key = (row, i) => {
      const text = row.cells[i].textContent.trim();
      const number = Number(text.replace(/\s*×\s*10/, "e").replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻".indexOf(c) === 10 ? "-" : "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c)).split(/[ (]/)[0]);
      return text === "–" ? [2, 0, ""] : Number.isNaN(number) ? [1, 0, text] : [0, number, ""];
    };
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      const button = make("button", { type: "button", className: "sort" }, ...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const up = cell.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        const order = [...body.rows].map((row) => [key(row, i), row]);
        order.sort(([a], [b]) => a[0] - b[0] || (up ? 1 : -1) * (a[1] - b[1] || a[2].localeCompare(b[2])));
        body.append(...order.map(([, row]) => row));
      });
    });
  }

  function filtered(table) {
    const box = make("input", { type: "search" }), count = make("output");
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        shown += !row.hidden;
      }
      count.textContent = words.length ? ` ${shown} of ${table.tBodies[0].rows.length} rows` : "";
    });
    table.parentElement.before(make("p", { className: "filter" }, make("label", {}, "Filter rows ", box), count));
  }

  for (const table of document.querySelectorAll("main table")) {
    if (table.tBodies[0].rows.length > 1) sortable(table);
    if (table.tBodies[0].rows.length > 3) filtered(table);
  }
})();
