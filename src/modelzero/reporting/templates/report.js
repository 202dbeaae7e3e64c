// Sort tables and show values on hover. The page is complete without it.
"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  table.tHead.querySelectorAll("th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const was = heading.getAttribute("aria-sort");
      const now = was === null ? "descending" : was === "descending" ? "ascending" : null;
      for (const each of table.tHead.querySelectorAll("th")) each.removeAttribute("aria-sort");
      if (now) heading.setAttribute("aria-sort", now);
      body.append(...(now ? sorted(original, column, now === "ascending" ? 1 : -1) : original));
    });
  });
}

function sorted(rows, column, direction) {
  const keyed = rows.map((row) => [keyOf(row.cells[column]), row]);
  return keyed
    .sort(([a], [b]) => {
      const unknown = (a === null) - (b === null); // unknown values stay at the end
      if (unknown || a === null) return unknown;
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return order * direction;
    })
    .map(([, row]) => row);
}

function keyOf(cell) {
  const value = cell.querySelector("data")?.value;
  if (value === undefined) return cell.textContent.trim();
  const number = Number(value); // "Infinity" is one too
  return value === "" || Number.isNaN(number) ? null : number;
}

const tooltip = document.createElement("div");
tooltip.className = "tooltip";
tooltip.hidden = true;
tooltip.setAttribute("role", "status");
document.body.append(tooltip);

function show(mark, x, y) {
  tooltip.textContent = mark.dataset.tip;
  tooltip.hidden = false;
  const { width, height } = tooltip.getBoundingClientRect();
  tooltip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - width - 4))}px`;
  tooltip.style.top = `${y - height - 10 < 4 ? y + 14 : y - height - 10}px`;
}

for (const mark of document.querySelectorAll(".tip")) {
  const title = mark.querySelector("title"); // the browser's own tooltip would cover ours a second later
  mark.dataset.tip = title.textContent;
  mark.setAttribute("aria-label", title.textContent);
  title.remove();
  mark.addEventListener("pointermove", (event) => show(mark, event.clientX, event.clientY));
  mark.addEventListener("pointerleave", () => { tooltip.hidden = true; });
}

// Print closed sections too, also in browsers that do not support it in the style sheet.
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => { for (const each of closed) each.open = false; });
