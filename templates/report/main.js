// What belongs to no view alone: filters, colours, and paper.
(() => {
  const option = (label, value) => element("option", { textContent: label, value });
  const filter = { text: byId("filter-text"), state: byId("filter-state"), param: byId("filter-param"), value: byId("filter-value") };
  const colourBy = byId("colour-by");

  const states = [...new Set(report.column.state.values)].sort();
  filter.state.append(option("all", ""), ...states.map((state) => option(state, state)));
  filter.param.append(option("any hyperparameter", ""), ...report.hyperParams.map((one, n) => option(one.label, String(n))));
  filter.value.append(option("anything", ""));
  filter.param.disabled = report.hyperParams.length === 0;
  colourBy.append(...colours.options.map((one, n) => option(one.label, String(n))));

  filter.text.addEventListener("input", once(() => choice.filterByText(filter.text.value)));
  filter.state.addEventListener("change", () => {
    const wanted = filter.state.value;
    choice.filter("state", wanted ? (run) => report.column.state.values[run] === wanted : null);
  });
  filter.param.addEventListener("change", () => {
    const param = report.hyperParams[filter.param.value];
    const texts = param ? [...new Set(param.texts)].filter((text) => text !== null) : [];
    const collator = new Intl.Collator("en", { numeric: true });
    const isNumeric = param?.numbers.some((one) => one !== null);
    texts.sort(isNumeric ? (a, b) => Number(a) - Number(b) : collator.compare);
    filter.value.replaceChildren(option("anything", ""), ...texts.map((text) => option(text, text)));
    filter.value.disabled = !param;
    choice.filter("param", null);
  });
  filter.value.addEventListener("change", () => {
    const param = report.hyperParams[filter.param.value];
    const wanted = filter.value.value;
    choice.filter("param", wanted && param ? (run) => param.texts[run] === wanted : null);
  });
  const clear = () => {
    for (const control of [filter.text, filter.state, filter.param, filter.value]) control.value = "";
    filter.value.disabled = true;
    if (!sweepView.isEmpty) sweepView.reset();
    choice.clear();
  };
  byId("clear").addEventListener("click", clear);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  colourBy.addEventListener("change", () => colours.choose(Number(colourBy.value)));

  const count = () => {
    const selected = choice.selected.size;
    byId("shown").textContent = `${choice.numShown} of ${report.count} runs shown${selected ? `, ${selected} selected` : ""}`;
  };
  const legend = () => {
    const entries = colours.chosen.legend();
    byId("colour-legend").replaceChildren(element("span", { textContent: `${colours.chosen.label}:` }), ...entries.flatMap(([text, colour]) => {
      if (!colour.startsWith("rgb") && !colour.startsWith("#")) {
        const ramp = element("span", { className: "ramp" });
        ramp.style.background = `linear-gradient(to right, ${colours.rampStops()})`;
        return [element("span", { textContent: text }), ramp, element("span", { textContent: colour })];
      }
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = colour;
      return [element("span", {}, swatch, text)];
    }));
    if (!entries.length) byId("colour-legend").replaceChildren();
  };
  choice.on("shown", count);
  choice.on("selected", count);
  choice.on("look", legend);
  count();
  legend();
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { tip.hide(); if (choice.selected.size) { choice.selected.clear(); choice.tell("selected"); } }
  });

  // Paper has its own width, is white, and unfolds nothing when touched.
  let folded = [];
  addEventListener("beforeprint", () => {
    if (colours.isPrinted) return;
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((one) => { one.open = true; });
    tip.hide();
    colours.print(true);
  });
  addEventListener("afterprint", () => {
    folded.forEach((one) => { one.open = false; });
    colours.print(false);
  });
  requestAnimationFrame(() => {
    document.documentElement.dataset.ready = "yes";
    performance.mark("lfadsq-ready");
  });
})();
