"use strict";
// Filters by outcome, a search and sorting: of tables that read the same without any of them.
for (const bar of document.querySelectorAll("[data-filter]")) {
  const table = document.querySelector(`[data-filtered="${bar.dataset.filter}"]`);
  const rows = table ? [...table.querySelectorAll("[data-kind]")] : [];
  const told = bar.querySelector("[data-told]");
  const search = bar.querySelector("[data-search]");
  const texts = search ? rows.map((row) => row.textContent.toLowerCase()) : [];
  let kind = "all";
  bar.hidden = false;
  const show = () => {
    const words = (search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, n) => {
      row.hidden = (kind !== "all" && row.dataset.kind !== kind) || !words.every((word) => texts[n].includes(word));
    });
    told.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  };
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const other of bar.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    kind = button.dataset.show;
    show();
  });
  search?.addEventListener("input", show);
}
for (const button of document.querySelectorAll("button[data-sort]")) {
  const heading = button.closest("th");
  const body = button.closest("table").tBodies[0];
  button.disabled = false;
  button.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = button.dataset.sort;
    const order = (a, b) => a.dataset[key].localeCompare(b.dataset[key], "en", { numeric: true });
    body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
  });
}
