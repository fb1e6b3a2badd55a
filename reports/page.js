"use strict";
(() => {
  const root = document.documentElement;
  const at = (id) => document.getElementById(id);
  root.classList.add("scripted");

  const theme = at("theme");
  const shade = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    theme.setAttribute("aria-pressed", String(dark));
  };
  theme.setAttribute("aria-pressed", String(matchMedia("(prefers-color-scheme: dark)").matches));
  theme.addEventListener("click", () => shade(theme.getAttribute("aria-pressed") !== "true"));

  const said = at("said");
  // within a trial a button holds how its sentence begins: the end is the trial's, the id the row's;
  // an answer's button names the row that has the sentence
  const sentenceOf = (asked) => {
    const button = asked.dataset.at ? at(asked.dataset.at).querySelector("button") : asked;
    const end = button.closest("[data-source]")?.dataset.source;
    return button.dataset.cite + (end ? end + button.closest("[id]").id + ")." : "");
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") said.textContent = "";
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.cite");
    if (!button) return;
    const sentence = sentenceOf(button);
    try {
      await navigator.clipboard.writeText(sentence);
      said.textContent = "Copied: " + sentence;
    } catch {
      said.textContent = "Copy it from here: " + sentence;
    }
  });

  const folds = [...document.querySelectorAll("details")];
  const unfold = at("unfold");
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") !== "true";
    unfold.setAttribute("aria-pressed", String(open));
    for (const fold of document.querySelectorAll("details.trial")) fold.open = open;
  });
  const reveal = () => {
    const target = at(decodeURIComponent(location.hash.slice(1))) || at(location.hash.slice(1));
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      fold.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  let closed = [];
  addEventListener("beforeprint", () => {
    const shut = folds.filter((fold) => !fold.open);
    for (const fold of shut) fold.open = true;
    closed.push(...shut);
  });
  addEventListener("afterprint", () => {
    for (const fold of closed) fold.open = false;
    closed = [];
  });

  const table = at("answers-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].querySelectorAll("th")];
  const certainty = 1000;  // no column of the table: how narrow the interval is
  const number = (written) => (written === undefined ? undefined : Number(written));
  const valueOf = (row, column) => {
    if (column === certainty) return number(row.dataset.certainty) ?? "";
    const cell = row.cells[column];
    if (!cell) return "";
    return number(cell.dataset.value) ?? cell.textContent.trim();
  };
  const missing = (value) => value === "" || value === "–";
  const order = (x, y) => {
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    if (typeof x === "number" && typeof y === "number") return x - y;
    return String(x).localeCompare(String(y), "en", { numeric: true });
  };
  const numeric = (column) =>
    column === certainty || heads[column].dataset.numeric !== undefined;
  const sort = (column, direction) => {
    const sorted = [...rows];
    const shown = (row) => {
      const value = valueOf(row, column);
      return numeric(column) && typeof value !== "number" ? "" : value;
    };
    const sign = (x, y) => (missing(x) || missing(y) ? 1 : direction);
    if (column >= 0) {
      sorted.sort((a, b) => sign(shown(a), shown(b)) * order(shown(a), shown(b)));
    }
    body.append(...sorted);
    table.classList.toggle("sorted", column >= 0);
    heads.forEach((head, n) => {
      const word = direction > 0 ? "ascending" : "descending";
      if (n === column) head.setAttribute("aria-sort", word);
      else head.removeAttribute("aria-sort");
    });
  };
  const by = at("sort");
  heads.forEach((head, column) => {
    if (rows.some((row) => row.cells[column]?.dataset.value !== undefined)) {
      head.dataset.numeric = "";
    }
    const button = document.createElement("button");
    button.type = "button";
    const axis = head.querySelector("svg");
    axis?.remove();
    button.textContent = head.textContent;
    head.replaceChildren(button);
    if (axis) head.append(axis);
    button.addEventListener("click", () => {
      const again = head.getAttribute("aria-sort") === "ascending";
      sort(column, again ? -1 : 1);
      by.value = String(column);
    });
    by.add(new Option(button.textContent, String(column)));
  });
  by.add(new Option("Certainty", String(certainty)));
  by.addEventListener("change", () => sort(by.value === "" ? -1 : Number(by.value), 1));

  const find = at("find");
  const answer = at("by-answer");
  const machine = at("by-machine");
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden =
        !words.every((word) => text.includes(word)) ||
        (answer.value !== "" && row.dataset.answer !== answer.value) ||
        (machine !== null && machine.value !== "" && row.dataset.machine !== machine.value);
      shown += !row.hidden;
    }
    at("shown").textContent = `${shown} of ${rows.length} rows`;
  };
  for (const control of [find, answer, machine]) control?.addEventListener("input", filter);
})();
