"use strict";
// The page reads as well without: this only narrows it down and sorts its tables.
(() => {
  const form = document.querySelector(".filter");
  const wanted = document.getElementById("wanted");
  const shown = document.getElementById("shown");
  const things = [...document.querySelectorAll(".host, tbody tr")];
  const text = new Map();
  const textOf = (thing) => {
    if (!text.has(thing)) {
      const group = thing.closest(".group");
      const more = group ? group.querySelector("h3 bdi").textContent : "";
      text.set(thing, `${thing.getAttribute("aria-label") || ""} ${thing.textContent} ${more}`.toLowerCase());
    }
    return text.get(thing);
  };
  const narrow = () => {
    const words = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const thing of things) {
      thing.hidden = !words.every((word) => textOf(thing).includes(word));
    }
    for (const group of document.querySelectorAll(".group")) {
      group.hidden = !group.querySelector(".host:not([hidden])");
    }
    const hosts = things.filter((thing) => thing.matches(".host"));
    const left = hosts.filter((host) => !host.hidden).length;
    shown.textContent = words.length ? `${left} of ${hosts.length} hosts` : "";
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  wanted.addEventListener("input", narrow);

  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  const value = (row, column) => row.cells[column].dataset.value || row.cells[column].textContent.trim();
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
        table.tBodies[0].append(...rows);
      });
    });
  }
})();
