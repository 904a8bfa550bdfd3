// Interactive charts: every panel of a figure as a Vega-Lite view of its own, with one legend and one set of controls.
"use strict";
const openChart = (() => { // eslint-disable-line no-unused-vars
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const COLUMNS = ["panel", "line", "seed", "x", "y", "low", "high", "left", "right", "mark"];
  const NARROW = 260; // least width of a panel [px]
  const STEP = { "+": ["zoom", 0.7], "=": ["zoom", 0.7], "-": ["zoom", 1 / 0.7], ArrowLeft: ["x", -0.15], ArrowRight: ["x", 0.15],
    ArrowUp: ["y", 0.15], ArrowDown: ["y", -0.15] };
  const held = (id) => JSON.parse(document.getElementById(id).textContent);
  const short = (v) => (v === null || v === undefined ? "–" : Math.abs(v) < 1e-25 ? "0" : String(Number(v.toPrecision(4))));
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

  // rows of all panels: the numbers, the look of their mark, and what the tooltip says
  function rowsOf(numbers, chart) {
    const columns = COLUMNS.map((_, i) => numbers.columns[i]);
    const at = (column, row) => (Array.isArray(column) ? column[row] ?? null : column.texts[column.codes[row]]);
    const seeds = {}, count = columns[COLUMNS.length - 1].length;
    const rows = Array.from({ length: count }, (_, id) => {
      const row = Object.fromEntries(COLUMNS.map((name, i) => [name, at(columns[i], id)]));
      const [number, look] = [chart.marks[row.mark][0], chart.looks[chart.marks[row.mark][1]]], panel = chart.panels[number];
      const several = row.seed !== "";
      if (several) (seeds[row.line] ??= []).push(Number(row.seed));
      const tip = { line: [row.line, several ? `seed ${row.seed}` : ""].filter(Boolean).join(", ") || panel.title || " " };
      tip[panel.encoding.x.axis.title || "x"] = short(row.x);
      tip[panel.encoding.y.axis.title || "y"] = short(row.y);
      if (row.low !== null && row.high !== null) tip[chart.interval] = `${short(row.low)} to ${short(row.high)}`;
      if (look.note) tip.mark = look.note;
      if (look.kind === "edge") tip.place = "below the axis";
      return { ...row, ...look, number, id, tip, published: row.line.startsWith("published") };
    });
    const first = Object.fromEntries(Object.entries(seeds).map(([line, all]) => [line, Math.min(...all)]));
    for (const row of rows) row.further = row.seed !== "" && Number(row.seed) !== first[row.line];
    return rows;
  }

  function swatch(entry) {
    const box = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const part = (tag, settings) => {
      const made = document.createElementNS(box.namespaceURI, tag);
      Object.entries(settings).forEach(([name, value]) => made.setAttribute(name, value));
      box.append(made);
    };
    for (const [name, value] of Object.entries({ width: 30, height: 12, viewBox: "0 -6 30 12", "aria-hidden": "true" })) box.setAttribute(name, value);
    if (entry.kind === "band") part("rect", { x: 2, y: -5, width: 26, height: 10, fill: entry.colour, opacity: entry.opacity });
    if (entry.width) part("line", { x1: 0, x2: 30, y1: 0, y2: 0, stroke: entry.colour, "stroke-width": entry.width, "stroke-dasharray": entry.dash.join(" ") });
    const r = 4, paths = { circle: `M${-r},0a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`, square: "M-3.6,-3.6H3.6V3.6H-3.6Z",
      "triangle-up": "M0,-4.4L4.2,3.4H-4.2Z", "triangle-down": "M0,4.4L4.2,-3.4H-4.2Z", "triangle-left": "M-4.4,0L3.4,-4.2V4.2Z",
      "triangle-right": "M4.4,0L-3.4,-4.2V4.2Z", diamond: "M0,-4.6L4,0L0,4.6L-4,0Z", cross: "M-1.5,-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z" };
    if (entry.shape) {
      const own = paths[entry.shape], scale = own ? "" : " scale(4)";
      part("path", { d: own ?? entry.shape, transform: `translate(15 0)${scale}`, fill: entry.face, stroke: entry.colour, "stroke-width": own ? 1.3 : 0.35 });
    }
    return box;
  }

  // the specification of a panel: what all share, its axes, its rows
  function specification(chart, number, rows, state, width) {
    const panel = (state.published ? chart.panels : chart.plain ?? chart.panels)[number];
    const spec = structuredClone(window.chartUnit);
    const scales = structuredClone(panel.encoding), places = { ...panel.places, ...state.values };
    for (const axis of ["x", "y"]) {
      if (!panel.log[axis] || state.log[axis]) continue;
      const { scale, axis: drawn } = scales[axis];
      Object.assign(scale, { type: "linear", domain: [0, scale.domain[1]], zero: false });
      Object.assign(drawn, { values: undefined, labelExpr: "format(datum.value, abs(datum.value) >= 1000 ? '~s' : '~g')" });
      if (axis === "x") places.zero = 0;
      else places.floor = 0;
    }
    for (const param of spec.params) if (param.name in places) param.value = places[param.name];
    const height = Math.max(150, Math.round(panel.height * chart.width) + 50); // with labels and title
    const label = scales.y.axis.title, middle = label.indexOf(" ", label.length / 2 - 4);
    if (label.length > height / 8 && middle > 0) scales.y.axis.title = [label.slice(0, middle), label.slice(middle + 1)];
    return { ...spec, width, height, autosize: { type: "fit", contains: "padding" }, title: panel.title ? { text: panel.title } : undefined,
      encoding: scales, datasets: { numbers: rows.filter((row) => row.number === number) } };
  }

  // one more part of the range, or a factor of it, as pointer and wheel do it
  function moved(view, axis, how, amount) {
    const scale = view.scale(axis), log = scale.type === "log";
    const [low, high] = scale.domain().map((v) => (log ? Math.log10(v) : v)), range = high - low;
    const middle = (low + high) / 2;
    const ends = how === "zoom" ? [middle - (range * amount) / 2, middle + (range * amount) / 2] : [low + range * amount, high + range * amount];
    return view.signal(`zoom_p${axis}`, ends.map((v) => (log ? 10 ** v : v)));
  }

  function keys(view, told, rows, state, reset) {
    const own = rows.filter((row) => row.kind === "point" || row.kind === "edge").sort((a, b) => a.line.localeCompare(b.line) || a.seed.localeCompare(b.seed) || a.x - b.x);
    let at = -1;
    return (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const [how, amount] = STEP[event.key] ?? [];
      if (how) (how === "zoom" ? ["x", "y"] : [how]).forEach((axis) => moved(view, axis, how, amount));
      else if (event.key === "0") reset();
      else if ((event.key === "n" || event.key === "p") && own.length) {
        at = (at + (event.key === "n" ? 1 : -1) + own.length) % own.length;
        view.signal("at", own[at].id);
        told.textContent = Object.entries(own[at].tip).map(([name, value]) => (name === "line" ? value : `${name}: ${value}`)).join("; ");
      } else return;
      event.preventDefault();
      view.runAsync();
    };
  }

  return function open(figure, name, button) {
    const chart = held(`chart-${name}`), rows = rowsOf(held(`numbers-${name}`), chart);
    const title = figure.previousElementSibling.textContent;
    const state = { log: { x: true, y: true }, published: true, values: { pick: [], seeds: true } };
    const place = make("div", { className: "chart" }), bar = make("div", { className: "bar" });
    const told = make("output", { className: "told" }), legend = make("div", { className: "legend" });
    let views = [], latest = 0;

    async function draw() {
      const mine = ++latest; // a later call takes over
      await vega();
      if (mine !== latest) return;
      const columns = Math.max(1, Math.min(chart.columns, Math.floor(place.clientWidth / NARROW)));
      chart.width = Math.max(560, columns === chart.columns ? place.clientWidth : 0); // that heights are a share of
      place.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
      views.forEach((view) => view.finalize());
      views = [];
      place.replaceChildren();
      const width = Math.floor((place.clientWidth - 12 * (columns - 1)) / columns);
      for (const number of chart.panels.keys()) {
        const box = make("div", { className: "panel", tabIndex: 0 });
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", `Chart: ${[title, chart.panels[number].title].filter(Boolean).join(", ")}`);
        place.append(box);
        const spec = specification(chart, number, rows, state, width);
        const { view } = await window.vegaEmbed(box, spec, { actions: false, renderer: "svg", mode: "vega-lite", tooltip: { theme: dark.matches ? "dark" : "light" } });
        if (mine !== latest) { view.finalize(); return; }
        box.addEventListener("keydown", keys(view, told, spec.datasets.numbers, state, draw));
        views.push(view);
      }
      place.dataset.drawn = "yes";
    }
    const again = () => draw().catch((error) => { console.error(error.message); place.textContent = error.message; });
    const signal = (key, value) => { state.values[key] = value; views.forEach((view) => view.signal(key, value).runAsync()); };

    const checked = (words, changed) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => changed(box.checked));
      bar.append(make("label", {}, box, ` ${words}`));
    };
    for (const axis of ["x", "y"]) {
      if (chart.panels.some((panel) => panel.log[axis])) checked(`logarithmic ${axis}`, (on) => { state.log[axis] = on; again(); });
    }
    if (rows.some((row) => row.further)) checked("all seeds", (on) => signal("seeds", on));
    const others = [["Zoom in", "zoom", 0.7], ["Zoom out", "zoom", 1 / 0.7]].map(([words, how, amount]) => make("button", { type: "button", textContent: words,
      onclick: () => views.forEach((view) => { ["x", "y"].forEach((axis) => moved(view, axis, how, amount)); view.runAsync(); }) }));
    bar.append(...others, make("button", { type: "button", textContent: "Reset", onclick: again }));
    bar.append(make("span", { className: "hint", textContent: "Drag moves, Ctrl and wheel zooms. Keys: arrows, + and −, 0 resets, n and p tell the points." }));

    const lines = new Set(rows.filter((row) => ["point", "edge", "line"].includes(row.kind)).map((row) => row.line));
    for (const entry of chart.legend) {
      if (!lines.has(entry.words) || entry.kind === "band") { legend.append(make("span", { className: "entry" }, swatch(entry), ` ${entry.words}`)); continue; }
      const one = make("button", { type: "button", className: "entry" }, swatch(entry), ` ${entry.words}`);
      one.setAttribute("aria-pressed", "false");
      one.addEventListener("click", () => {
        const pressed = one.getAttribute("aria-pressed") !== "true";
        one.setAttribute("aria-pressed", String(pressed));
        signal("pick", pressed ? [...state.values.pick, entry.words] : state.values.pick.filter((words) => words !== entry.words));
      });
      legend.append(one);
    }

    const panel = make("div", { className: "card explored" }, bar, legend, place, told);
    button.before(panel);
    dark.addEventListener("change", again);
    const shown = figure.querySelector(".published input");
    const published = () => { state.published = state.values.published = shown.checked; };
    if (shown) { published(); shown.addEventListener("change", () => { published(); again(); }); }
    again();
    return panel;
  };
})();
