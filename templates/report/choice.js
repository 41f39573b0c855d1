// Which runs are shown, selected and pointed at. All views ask here, and are told of changes.
const choice = (() => {
  const told = { shown: [], selected: [], hovered: [], look: [] };
  const tell = (what) => told[what].forEach((listener) => listener());
  const shown = new Uint8Array(report.count).fill(1);
  const selected = new Set();
  const texts = report.names.map((name, run) =>
    [name, report.column.state.values[run], ...report.hyperParams.map((one) => `${one.label}=${one.texts[run]}`)]
      .join(" ").toLowerCase());
  const filters = new Map();
  let hovered = -1;
  let numShown = report.count;

  const apply = () => {
    const tests = [...filters.values()];
    numShown = 0;
    for (let run = 0; run < report.count; run++) {
      shown[run] = tests.every((test) => test(run)) ? 1 : 0;
      numShown += shown[run];
    }
    tell("shown");
  };
  return {
    shown,
    selected,
    on: (what, listener) => told[what].push(listener),
    tell,
    get hovered() { return hovered; },
    get numShown() { return numShown; },
    // A filter is a function of a run; null takes it away.
    filter(name, test) {
      if (test) filters.set(name, test);
      else if (!filters.delete(name)) return;
      apply();
    },
    clear() {
      filters.clear();
      selected.clear();
      apply();
      tell("selected");
    },
    filterByText(text) {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      this.filter("text", words.length ? (run) => words.every((word) => texts[run].includes(word)) : null);
    },
    hover(run) {
      if (run === hovered) return;
      hovered = run;
      tell("hovered");
    },
    toggle(run) {
      if (run < 0) return;
      if (!selected.delete(run)) selected.add(run);
      tell("selected");
    },
  };
})();
