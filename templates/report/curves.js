// Learning curves: one canvas for all of them, one above for those that stand out.
const curvesView = (() => {
  const box = byId("curves-chart");
  const drawn = report.curves.flatMap((curve, run) => (curve ? [run] : []));
  const controls = { which: byId("curves-which"), scale: byId("curves-scale"), range: byId("curves-range") };
  if (!drawn.length) {
    box.remove();
    byId("curves").querySelector(".controls").remove();
    byId("curves-caption").textContent = "No run has ended an epoch yet.";
    return { isEmpty: true };
  }
  if (drawn.length <= 12) controls.which.value = "both";
  const costs = (curve) => (controls.which.value === "both" ? [curve.valid, curve.train] : [curve[controls.which.value]]);
  const isLog = () => controls.scale.value === "log";
  const shownRuns = () => drawn.filter((run) => choice.shown[run]);

  const ranges = () => {
    let last = 1;
    const all = [];
    for (const run of shownRuns()) {
      const curve = report.curves[run];
      last = Math.max(last, curve.epochs[curve.epochs.length - 1]);
      for (const values of costs(curve)) for (const value of values) if (Number.isFinite(value) && (!isLog() || value > 0)) all.push(value);
    }
    if (!all.length) return { x: [0, last], y: isLog() ? [1, 10] : [0, 1] };
    const sorted = Float64Array.from(all).sort();
    // Costs begin far above all that matters.
    const top = controls.range.value === "all" ? sorted.length - 1 : Math.floor(0.98 * (sorted.length - 1));
    const low = sorted[0], high = sorted[top];
    if (isLog()) return { x: [0, last], y: [low / 1.02, Math.max(high, low * 1.01) * 1.02] };
    const margin = (high - low || Math.abs(high) || 1) * 0.04;
    return { x: [0, last], y: [low - margin, high + margin] };
  };
  let found = ranges();

  const line = (context, place, epochs, values) => {
    context.beginPath();
    let isDown = false;
    for (let n = 0; n < values.length; n++) {
      const value = values[n];
      if (!Number.isFinite(value)) { isDown = false; continue; }
      const x = place.x(epochs[n]), y = place.y(value);
      if (isDown) context.lineTo(x, y);
      else context.moveTo(x, y);
      isDown = true;
    }
    if (epochs.length === 1) context.arc(place.x(epochs[0]), place.y(values[0]), 2.5, 0, 7);
    context.stroke();
  };
  const draw = (context, place, run, dash) => {
    const curve = report.curves[run];
    for (const values of costs(curve)) {
      context.setLineDash(values === curve.train && controls.which.value === "both" ? dash : []);
      line(context, place, curve.epochs, values);
    }
  };
  const view = makePlot(box, {
    height: () => (widthOf(box) < 500 ? 300 : 420),
    axes: () => [
      axisLook({ label: "epoch", labelSize: 22, size: 34 }),
      axisLook({ label: "total cost [nats/trial]", labelSize: 20, size: 62, values: (_, ticks) => ticks.map((one) => (one === null ? "" : number(one, 6))) }),
    ],
    scales: () => ({ x: {}, y: { distr: isLog() ? 3 : 1, log: 10 } }),
    rangeOf: (key) => found[key],
    paint(context, place) {
      const runs = shownRuns();
      context.globalAlpha = Math.max(0.12, Math.min(0.9, 9 / Math.sqrt(runs.length)));
      context.lineWidth = runs.length > 100 ? 0.8 : 1.4;
      for (const run of runs) {
        context.strokeStyle = colours.of(run);
        // Dashes of hundreds of curves are slow to draw, and none could be seen.
        draw(context, place, run, runs.length > 60 ? [] : [4, 3]);
      }
    },
    paintOver(context, place) {
      view.dim(choice.selected.size > 0 && drawn.some((run) => choice.selected.has(run)));
      for (const run of [...choice.selected, choice.hovered]) {
        if (run < 0 || !report.curves[run]) continue;
        const isHovered = run === choice.hovered;
        context.lineWidth = isHovered ? 5 : 4;
        context.strokeStyle = colours.look.page;
        draw(context, place, run, []);
        context.lineWidth = isHovered ? 2.8 : 2;
        context.strokeStyle = isHovered ? colours.look.strong : colours.of(run);
        draw(context, place, run, [4, 3]);
      }
    },
    onMove(x, y, place, event) {
      let best = { distance: 24, run: -1 };
      for (const run of shownRuns()) {
        const curve = report.curves[run];
        const at = nearest(curve.epochs, place, x);
        for (const values of costs(curve)) {
          const height = heightAt(curve.epochs, values, place, x, at);
          const distance = Math.abs(height - y);
          if (distance < best.distance) best = { distance, run, at };
        }
      }
      choice.hover(best.run);
      if (best.run < 0) return tip.hide();
      const curve = report.curves[best.run];
      const told = [report.names[best.run], describe(best.run),
        `epoch ${curve.epochs[best.at]}: validation ${cost(curve.valid[best.at])}, training ${cost(curve.train[best.at])}`,
        `best validation ${cost(report.column.valid.values[best.run])}`];
      tip.show(told.filter(Boolean).join("\n"), event.clientX, event.clientY);
    },
    onPick: () => choice.toggle(choice.hovered),
  });
  const nearest = (epochs, place, x) => {
    let low = 0, high = epochs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (place.x(epochs[middle]) < x) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && x - place.x(epochs[low - 1]) < place.x(epochs[low]) - x) low--;
    return low;
  };
  // Between two epochs the line is straight, also to the eye.
  const heightAt = (epochs, values, place, x, at) => {
    const here = place.x(epochs[at]);
    const other = x > here ? at + 1 : at - 1;
    if (other < 0 || other >= epochs.length) return Math.abs(x - here) < 12 ? place.y(values[at]) : NaN;
    const share = (x - here) / (place.x(epochs[other]) - here || 1);
    return place.y(values[at]) + share * (place.y(values[other]) - place.y(values[at]));
  };
  const caption = () => {
    const runs = shownRuns();
    const scored = runs.filter((run) => report.column.valid.values[run] !== null)
      .sort((a, b) => report.column.valid.values[a] - report.column.valid.values[b]);
    const told = [`${runs.length} of ${drawn.length} learning curves.`];
    // Costs on other data do not compare.
    if (scored.length && new Set(report.groups).size === 1) {
      const worst = scored[scored.length - 1];
      told.push(`Best validation costs from ${cost(report.column.valid.values[scored[0]])} (${report.names[scored[0]]}) to ${cost(report.column.valid.values[worst])} (${report.names[worst]}).`);
    }
    if (controls.which.value === "both") told.push("Solid: validation; dashed: training.");
    told.push("Costs rise while the weights of KL and L2 do. Point at a curve to see its run, click to select it, drag to zoom.");
    byId("curves-caption").textContent = told.join(" ");
  };
  const refresh = () => { found = ranges(); view.rescale(); caption(); };
  choice.on("shown", refresh);
  choice.on("selected", view.redrawOver);
  choice.on("hovered", view.redrawOver);
  controls.which.addEventListener("change", refresh);
  controls.range.addEventListener("change", refresh);
  controls.scale.addEventListener("change", () => { found = ranges(); view.setZoom(null); view.rebuild(); });
  byId("curves-reset").addEventListener("click", () => view.setZoom(null));
  caption();
  return view;
})();
