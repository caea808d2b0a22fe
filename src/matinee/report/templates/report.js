"use strict";
// Paper cannot be unfolded: print the tables that stand folded on a screen, but for those below a chart, and fold them again.
(() => {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.numbers:not([open])")].filter((each) => !each.closest("figure"));
    for (const each of folded) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of folded) each.open = false;
  });
})();

// Filters the mistakes. Without it the page is a plain list; it reads places and kinds, and never turns text into HTML.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const items = [...document.querySelectorAll("[data-mistake]")].map((item) => ({
    item,
    text: [...item.querySelectorAll(".text, .snippet")].map((part) => part.textContent).join(" ").toLowerCase(),
    kind: item.dataset.kind.split(" "),
    label: [item.dataset.label],
    predicted: [item.dataset.predicted],
    slices: item.dataset.slices.split(" "),
  }));
  const groups = [...document.querySelectorAll("[data-group]")];
  const others = document.getElementById("others");
  const shown = document.getElementById("shown");
  const none = document.getElementById("none");

  function apply() {
    const wanted = new FormData(form);
    const words = wanted.get("search").toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = ["kind", "label", "predicted", "slices"].filter((name) => wanted.get(name));
    let count = 0;
    for (const each of items) {
      const fits =
        chosen.every((name) => each[name].includes(wanted.get(name))) && words.every((word) => each.text.includes(word));
      each.item.hidden = !fits;
      count += fits;
    }
    for (const group of groups) group.hidden = !group.querySelector("[data-mistake]:not([hidden])");
    const narrowed = words.length > 0 || chosen.length > 0;
    if (others && narrowed) others.open = true;
    none.hidden = count > 0;
    shown.textContent = narrowed ? `${count} of ${items.length} shown` : `${items.length} on this page`;
  }

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
