// The table: written by lfadsq, sorted, filtered and marked here.
const tableView = (() => {
  const table = byId("runs-table");
  const body = table.tBodies[0];
  const rows = report.count ? [...body.rows] : [];
  const headings = [...table.tHead.rows[0].cells];
  const compareTexts = new Intl.Collator("en", { numeric: true }).compare;
  let order = rows.map((_, run) => run);
  let hovered = null;

  const sort = (key, isDown) => {
    const column = key === "name" ? { values: report.names, isNumber: false } : report.column[key];
    const compare = column.isNumber ? (a, b) => a - b : compareTexts;
    const { values } = column;
    // What is not known comes last, whichever way.
    order.sort((a, b) => {
      const [one, other] = [values[a], values[b]];
      if (one === null || other === null) return (one === null) - (other === null) || a - b;
      return (isDown ? compare(other, one) : compare(one, other)) || a - b;
    });
    body.append(...order.map((run) => rows[run]));
    for (const heading of headings) {
      const isIt = heading.querySelector("button").dataset.key === key;
      heading.setAttribute("aria-sort", isIt ? (isDown ? "descending" : "ascending") : "none");
    }
  };
  const show = () => {
    rows.forEach((row, run) => { row.hidden = !choice.shown[run]; });
  };
  const mark = () => {
    for (const row of document.querySelectorAll("tr.selected")) row.classList.remove("selected");
    for (const button of document.querySelectorAll("button.run")) {
      const is = choice.selected.has(Number(button.dataset.run));
      button.setAttribute("aria-pressed", String(is));
      if (is) button.closest("tr")?.classList.add("selected");
    }
  };
  // The table scrolls to what was selected elsewhere; the page stays where it is.
  const reveal = (run) => {
    const scroller = table.parentElement;
    const row = rows[run];
    if (!row || row.hidden) return;
    const top = row.offsetTop - table.tHead.offsetHeight;
    if (top < scroller.scrollTop || row.offsetTop + row.offsetHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = Math.max(0, top - 40);
  };
  headings.forEach((heading) => {
    heading.querySelector("button").addEventListener("click", (event) => {
      sort(event.currentTarget.dataset.key, heading.getAttribute("aria-sort") === "ascending");
    });
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.run");
    if (button) choice.toggle(Number(button.dataset.run));
  });
  body.addEventListener("mouseover", (event) => {
    const row = event.target.closest("tr[data-run]");
    choice.hover(row ? Number(row.dataset.run) : -1);
  });
  body.addEventListener("mouseleave", () => choice.hover(-1));
  choice.on("shown", show);
  let before = new Set();
  choice.on("selected", () => {
    mark();
    const added = [...choice.selected].find((run) => !before.has(run));
    before = new Set(choice.selected);
    if (added !== undefined && !body.contains(document.activeElement)) reveal(added);
  });
  choice.on("hovered", () => {
    hovered?.classList.remove("hovered");
    hovered = choice.hovered >= 0 ? rows[choice.hovered] : null;
    hovered?.classList.add("hovered");
  });
  return { sort };
})();
