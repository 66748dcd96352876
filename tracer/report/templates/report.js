"use strict";
for (const bar of document.querySelectorAll("[data-filter]")) {
  const rows = document.querySelectorAll(`[data-filtered="${bar.dataset.filter}"] [data-kind]`);
  const told = bar.querySelector("[data-told]");
  bar.hidden = false;
  document.documentElement.classList.add("has-filters");
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const other of bar.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    let shown = 0;
    for (const row of rows) {
      row.hidden = button.dataset.show !== "all" && row.dataset.kind !== button.dataset.show;
      if (!row.hidden) shown += 1;
    }
    told.textContent = `${shown} of ${rows.length} shown`;
  });
}
