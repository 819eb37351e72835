"use strict";
// Filters hosts and table rows, and sorts tables; the page is complete without it.
(() => {
  const form = document.querySelector(".filter");
  const query = document.getElementById("query");
  const shown = document.getElementById("shown");
  const items = [...document.querySelectorAll(".host, tbody tr")];
  const text = new Map();
  const textOf = (item) => {
    if (!text.has(item)) {
      const group = item.closest(".group");
      const more = group ? group.querySelector("h3 bdi").textContent : "";
      text.set(item, `${item.getAttribute("aria-label") || ""} ${item.textContent} ${more}`.toLowerCase());
    }
    return text.get(item);
  };
  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) {
      item.hidden = !words.every((word) => textOf(item).includes(word));
    }
    for (const group of document.querySelectorAll(".group, .rack")) {
      group.hidden = !group.querySelector(".host:not([hidden])");
    }
    const hosts = items.filter((item) => item.matches(".host"));
    const left = hosts.filter((host) => !host.hidden).length;
    shown.textContent = words.length ? `${left} of ${hosts.length} hosts` : "";
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  query.addEventListener("input", filter);

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
