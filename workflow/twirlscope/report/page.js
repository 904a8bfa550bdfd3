// The numbers of a figure, tables to sort and filter. The page is complete without them.
"use strict";
(() => {
  const held = (id) => { const found = document.getElementById(id); return found && JSON.parse(found.textContent); };
  const value = (column, row) => (Array.isArray(column) ? column[row] : column.texts[column.codes[row]]);
  const short = (v) => (v === null ? "–" : typeof v === "number" && !Number.isInteger(v) ? String(Number(v.toPrecision(3))) : String(v));
  const make = (tag, settings = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), settings);
    made.append(...children);
    return made;
  };

  function listed(figure, name, button) {
    const numbers = held(`numbers-${name}`), used = numbers.heads.map((_, i) => i).filter((i) =>
      numbers.columns[i].texts ? numbers.columns[i].texts.some((t) => t !== "") : numbers.columns[i].length > 0);
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
    if (document.getElementById(`chart-${name}`)) links.prepend(toggles(figure, name, "Explore", openChart), " ");
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
