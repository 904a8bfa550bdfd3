// The menu follows the scroll, addresses open what is folded, tabs show one figure at a time. All of it is on the page without this.
"use strict";
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  function choose(tabs, chosen, focus) {
    const panels = all(":scope > .tab", tabs), buttons = all(":scope > [role=tablist] > button", tabs);
    panels.forEach((panel, i) => {
      panel.hidden = panel !== chosen;
      buttons[i].setAttribute("aria-selected", String(panel === chosen));
      buttons[i].tabIndex = panel === chosen ? 0 : -1;
      if (focus && panel === chosen) buttons[i].focus();
    });
  }

  all(".tabs").forEach((tabs, number) => {
    const panels = all(":scope > .tab", tabs), bar = document.createElement("div");
    bar.setAttribute("role", "tablist");
    bar.setAttribute("aria-label", "The same figure of");
    panels.forEach((panel, i) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: panel.dataset.tab, id: `tab-${number}-${i}` });
      button.setAttribute("role", "tab");
      button.setAttribute("aria-controls", panel.id = `panel-${number}-${i}`);
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", button.id);
      button.addEventListener("click", () => choose(tabs, panel));
      bar.append(button);
    });
    bar.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], now = panels.findIndex((panel) => !panel.hidden);
      if (step) choose(tabs, panels[(now + step + panels.length) % panels.length], true);
    });
    tabs.prepend(bar);
    choose(tabs, panels[0]);
  });

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const figure = target.matches("h2, h3, h4") ? target : null;
    for (let at = target; at; at = at.parentElement) {
      if (at.matches("details")) at.open = true;
      if (at.matches(".tab")) choose(at.parentElement, at);
    }
    (figure ?? target).scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  if (location.hash) reveal();
  document.addEventListener("click", (event) => { // also where the address does not change
    const link = event.target.closest?.("a[href^='#']");
    if (link && link.hash === location.hash) reveal();
  });

  const links = all(".menu > ul > li > a"), menu = document.querySelector(".menu");
  const places = links.map((link) => document.getElementById(link.hash.slice(1)));
  function follow() {
    const bottom = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2;
    const passed = places.filter((place) => place.getBoundingClientRect().top < window.innerHeight / 3).length;
    const now = bottom ? links.length - 1 : Math.max(0, passed - 1);
    links.forEach((link, i) => {
      if (i !== now) return link.removeAttribute("aria-current");
      if (link.hasAttribute("aria-current")) return undefined;
      link.setAttribute("aria-current", "true");
      if (menu.scrollWidth > menu.clientWidth) menu.scrollLeft = link.offsetLeft - menu.clientWidth / 3;
      return undefined;
    });
  }
  window.addEventListener("scroll", follow, { passive: true });
  follow();

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = all("details[data-print]:not([open])");
    closed.forEach((fold) => { fold.open = true; });
    all("img[loading]").forEach((image) => { image.loading = "eager"; });
  });
  window.addEventListener("afterprint", () => closed.forEach((fold) => { fold.open = false; }));
})();
