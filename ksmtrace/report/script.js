"use strict";
for (const table of document.querySelectorAll("main table")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  if (rows.length < 2) continue;
  for (const head of heads) {
    const at = head.cellIndex, numeric = head.classList.contains("n");
    const orders = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = orders[head.getAttribute("aria-sort") === orders[0] ? 1 : 0];
      const sign = order === "ascending" ? 1 : -1;
      const shown = (row) => row.cells[at].textContent;
      const value = (row) => Number(row.cells[at].dataset.v);
      const isKnown = (row) => numeric ? "v" in row.cells[at].dataset : shown(row) !== "-";
      const known = rows.filter(isKnown);
      known.sort((a, b) => sign * (numeric ? value(a) - value(b)
        : shown(a).localeCompare(shown(b), undefined, { numeric: true })));
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order);
      body.append(...known, ...rows.filter((row) => !isKnown(row)));
    });
  }
  if (rows.length < 6) continue;
  const label = document.createElement("label"), input = document.createElement("input");
  const found = document.createElement("output");
  input.type = "search";
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(words);
    found.textContent = words && `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  });
  label.append(`Find in \u201c${table.caption.textContent}\u201d `, input, " ", found);
  label.className = "find";
  table.parentNode.before(label);
}
