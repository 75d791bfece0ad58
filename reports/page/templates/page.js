"use strict";
// What the page can do beyond showing itself: sort and filter its tables, and change its theme. All content is there without it.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const announce = (text) => { document.getElementById("announce").textContent = text; };

  // --- theme: as the system has it, or as chosen, kept where the browser lets a file keep something
  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  const remember = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* not allowed here */ } };
  const remembered = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const show = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.querySelector("span").textContent = theme;
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
    remember(theme);
  });

  // --- sorting: a table's groups of rows by one column; what has no value comes last either way
  const valueOf = (group, column, kind) => {
    const cell = group.rows[0].cells[column];
    if (!cell) return null;
    if (kind === "text") return cell.textContent.trim();
    return cell.dataset.v ? Number(cell.dataset.v) : null;
  };
  const sort = (table, heading) => {
    const column = heading.cellIndex;
    const kind = heading.dataset.sort;
    const before = heading.getAttribute("aria-sort");
    const upFirst = kind === "text" || column === 0;
    const up = before ? before === "descending" : upFirst;
    const keyed = [...table.tBodies].map((group) => [valueOf(group, column, kind), group]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (up ? 1 : -1) * (kind === "text" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    });
    table.append(...keyed.map(([, group]) => group));
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    announce(`sorted by ${heading.firstChild.firstChild.textContent.trim()}, ${up ? "ascending" : "descending"}`);
  };
  for (const table of all("table.sortable")) {
    for (const heading of all("th[data-sort]", table.tHead)) {
      const press = document.createElement("button");
      press.type = "button";
      press.append(...heading.childNodes);
      heading.append(press);
      press.addEventListener("click", () => sort(table, heading));
    }
    if (table.tHead.rows[0].cells[0].textContent.startsWith("#")) table.tHead.rows[0].cells[0].setAttribute("aria-sort", "ascending");
  }

  // --- filtering: every word of the text, the family and the outcome must be in a step's rows
  const form = document.getElementById("filters");
  const [text, family, outcome] = ["text", "family", "outcome"].map((name) => document.getElementById(`filter-${name}`));
  const count = document.getElementById("filter-count");
  const groups = all("table.filtered > tbody.row");
  const choices = (name) => [...new Set(groups.flatMap((group) => (group.dataset[name] ?? "").split(" ")))].filter(Boolean);
  family.append(...choices("family").sort().map((choice) => new Option(choice)));
  outcome.append(...choices("outcome").map((choice) => new Option(choice.replace("-", " "), choice)));
  const texts = new Map();
  const textOf = (group) => {
    if (!texts.has(group)) texts.set(group, group.textContent.toLowerCase().replace(/\s+/g, " "));
    return texts.get(group);
  };
  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const group of groups) {
      const fits = words.every((word) => textOf(group).includes(word))
        && (!family.value || !("family" in group.dataset) || group.dataset.family === family.value)
        && (!outcome.value || group.dataset.outcome.split(" ").includes(outcome.value));
      group.hidden = !fits;
      shown += fits;
    }
    count.textContent = words.length || family.value || outcome.value ? `${shown} of ${groups.length} rows` : "";
  };
  form.hidden = groups.length === 0;
  for (const kind of ["input", "change"]) form.addEventListener(kind, filter);
  form.addEventListener("reset", (event) => {
    event.preventDefault(); // it would come before the fields are empty
    text.value = family.value = outcome.value = "";
    filter();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
