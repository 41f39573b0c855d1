// The sweep as parallel coordinates: an axis for each hyperparameter and score, a line for each run.
const sweepView = (() => {
  const box = byId("sweep-chart");
  const byNumbers = (label, values) => {
    const told = values.filter((one) => one !== null);
    return { label, kind: "linear", numbers: values, categories: [], texts: [], isScore: true, isTold: told.length > 0 };
  };
  const groups = [...new Set(report.groups)].sort();
  const axes = [
    ...(groups.length > 1 ? [{ label: "data", kind: "category", categories: groups, texts: report.groups }] : []),
    ...report.hyperParams,
    ...[["validation cost", "valid"], ["over-fitting", "gap"]]
      .map(([label, key]) => byNumbers(label, report.column[key].values)).filter((one) => one.isTold),
  ];
  if (report.count < 2 || axes.length < 2) {
    box.remove();
    byId("sweep").querySelector(".controls").remove();
    byId("sweep-caption").textContent = report.hyperParams.length
      ? "There are too few runs to compare." : "The runs do not differ in any hyperparameter.";
    return { isEmpty: true };
  }
  const TOP = 40, BOTTOM = 18, LEFT = 64, RIGHT = 64;
  const ranges = new Map();
  let width = 0, height = 360;

  for (const axis of axes) {
    if (axis.kind === "category") {
      const last = Math.max(axis.categories.length - 1, 1);
      const place = new Map(axis.categories.map((text, n) => [text, axis.categories.length > 1 ? n / last : 0.5]));
      axis.shares = axis.texts.map((text) => (place.has(text) ? place.get(text) : null));
      const every = Math.ceil(axis.categories.length / 14);
      axis.ticks = axis.categories.map((text, n) => [place.get(text), text, n]).filter(([, , n]) => n % every === 0);
      continue;
    }
    const size = axis.kind === "log" ? Math.log10 : (value) => value;
    const told = axis.numbers.filter((one) => one !== null);
    const low = Math.min(...told), high = Math.max(...told);
    const share = (value) => (high > low ? (size(value) - size(low)) / (size(high) - size(low)) : 0.5);
    axis.shares = axis.numbers.map((value) => (value === null ? null : share(value)));
    const distinct = [...new Set(told)].sort((a, b) => a - b);
    axis.isLog = axis.kind === "log";
    const ticks = distinct.length <= 8 && !axis.isScore ? distinct : spaced(low, high, axis.isLog);
    axis.ticks = ticks.map((value) => [share(value), number(value, axis.isScore ? 6 : 4)]);
  }
  function spaced(low, high, isLog) {
    if (isLog) {
      const found = [];
      for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power++) found.push(10 ** power);
      return found.length > 1 ? found : [low, Math.sqrt(low * high), high];
    }
    if (!(high > low)) return [low];
    const rough = (high - low) / 5;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * unit).find((one) => one >= rough);
    const found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) found.push(value);
    return found;
  }

  const x = (n) => LEFT + ((width - LEFT - RIGHT) * n) / Math.max(axes.length - 1, 1);
  const y = (share) => height - BOTTOM - share * (height - TOP - BOTTOM);
  const line = (context, run) => {
    context.beginPath();
    let isDown = false;
    axes.forEach((axis, n) => {
      const share = axis.shares[run];
      if (share === null) { isDown = false; return; }
      if (isDown) context.lineTo(x(n), y(share));
      else context.moveTo(x(n), y(share));
      isDown = true;
    });
    context.stroke();
  };
  const under = makeLayer(box), over = makeLayer(box);
  const touch = element("div", { className: "touch" });
  box.append(touch);

  const paintAxes = (context) => {
    const look = colours.look;
    context.font = "12px system-ui, sans-serif";
    axes.forEach((axis, n) => {
      context.strokeStyle = look.text;
      context.lineWidth = 1;
      context.globalAlpha = 0.6;
      context.beginPath();
      context.moveTo(x(n), y(0));
      context.lineTo(x(n), y(1));
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = look.strong;
      context.textAlign = "center";
      const room = (width - LEFT - RIGHT) / Math.max(axes.length - 1, 1) - 8;
      context.fillText(cut(context, axis.label, Math.max(room, 60)), x(n), 14);
      if (axis.isLog) { context.fillStyle = look.text; context.fillText("log", x(n), 28); }
      context.textAlign = n === axes.length - 1 ? "left" : "right";
      for (const [share, text] of axis.ticks) {
        const at = x(n) + (n === axes.length - 1 ? 6 : -6);
        const shown = cut(context, text, 58);
        context.lineWidth = 3;
        context.strokeStyle = look.page;
        context.strokeText(shown, at, y(share) + 4);
        context.fillStyle = look.text;
        context.fillText(shown, at, y(share) + 4);
      }
      const range = ranges.get(n);
      if (range) {
        context.fillStyle = look.idle;
        context.globalAlpha = 0.35;
        context.fillRect(x(n) - 7, y(range[1]), 14, y(range[0]) - y(range[1]));
        context.globalAlpha = 1;
      }
    });
  };
  const cut = (context, text, room) => {
    if (context.measureText(text).width <= room) return text;
    let kept = text;
    while (kept && context.measureText(`${kept}…`).width > room) kept = kept.slice(0, -1);
    return `${kept}…`;
  };
  const redraw = () => {
    const outer = widthOf(box.parentElement);
    if (!outer) return;
    width = colours.isPrinted ? outer : Math.max(outer, LEFT + RIGHT + (axes.length - 1) * 74);
    box.style.width = `${width}px`;
    box.style.height = `${height}px`;
    under.draw(width, height, (context) => {
      const runs = report.names.map((_, run) => run).filter((run) => choice.shown[run]);
      context.globalAlpha = Math.max(0.12, Math.min(0.85, 9 / Math.sqrt(runs.length)));
      context.lineWidth = runs.length > 100 ? 1 : 1.5;
      for (const run of runs) {
        context.strokeStyle = colours.of(run);
        line(context, run);
      }
    });
    redrawOver();
  };
  const redrawOver = once(() => {
    under.canvas.classList.toggle("dimmed", choice.selected.size > 0);
    over.draw(width, height, (context) => {
      for (const run of [...choice.selected, choice.hovered]) {
        if (run < 0) continue;
        const isHovered = run === choice.hovered;
        context.lineWidth = isHovered ? 3 : 2;
        context.strokeStyle = isHovered ? colours.look.strong : colours.of(run);
        line(context, run);
      }
      paintAxes(context);
    });
  });

  // Dragging along an axis keeps the runs within that range; a click takes the range away, or picks a run.
  let drag = null;
  const axisAt = (px) => {
    const n = Math.round(((px - LEFT) / (width - LEFT - RIGHT)) * (axes.length - 1));
    return n >= 0 && n < axes.length && Math.abs(px - x(n)) < 14 ? n : -1;
  };
  const shareAt = (py) => Math.min(1, Math.max(0, (height - BOTTOM - py) / (height - TOP - BOTTOM)));
  const where = (event) => {
    const rectangle = touch.getBoundingClientRect();
    return [event.clientX - rectangle.left, event.clientY - rectangle.top];
  };
  const setRange = (n, range) => {
    if (range) ranges.set(n, range);
    else ranges.delete(n);
    const tests = [...ranges].map(([at, [low, high]]) => (run) => {
      const share = axes[at].shares[run];
      return share !== null && share >= low - 1e-9 && share <= high + 1e-9;
    });
    choice.filter("ranges", tests.length ? (run) => tests.every((test) => test(run)) : null);
    redrawOver();
  };
  touch.addEventListener("pointerdown", (event) => {
    const [px, py] = where(event);
    const n = axisAt(px);
    if (n < 0) return;
    drag = { n, from: shareAt(py), moved: false };
    touch.setPointerCapture(event.pointerId);
  });
  touch.addEventListener("pointermove", (event) => {
    const [px, py] = where(event);
    if (drag) {
      const share = shareAt(py);
      drag.moved = drag.moved || Math.abs(share - drag.from) > 0.02;
      if (drag.moved) {
        drag.range = [Math.min(drag.from, share) - 0.012, Math.max(drag.from, share) + 0.012];
        setRange(drag.n, drag.range);
      }
      return;
    }
    touch.style.cursor = axisAt(px) >= 0 ? "ns-resize" : "default";
    const run = nearest(px, py);
    choice.hover(run);
    if (run < 0) tip.hide();
    else tip.show([report.names[run], describe(run), `validation cost ${cost(report.column.valid.values[run])}`].filter(Boolean).join("\n"), event.clientX, event.clientY);
  });
  touch.addEventListener("pointerup", () => {
    const ended = drag;
    drag = null;
    if (ended && !ended.moved && ranges.has(ended.n)) setRange(ended.n, null);
    else if (!ended) choice.toggle(choice.hovered);
  });
  touch.addEventListener("pointercancel", () => { drag = null; });
  touch.addEventListener("pointerleave", () => { tip.hide(); choice.hover(-1); });
  const nearest = (px, py) => {
    const step = (width - LEFT - RIGHT) / Math.max(axes.length - 1, 1);
    const before = Math.min(axes.length - 2, Math.max(0, Math.floor((px - LEFT) / step)));
    const share = (px - x(before)) / step;
    let best = -1, distance = 10;
    for (let run = 0; run < report.count; run++) {
      const a = axes[before].shares[run], b = axes[before + 1].shares[run];
      if (!choice.shown[run] || a === null || b === null) continue;
      const off = Math.abs(y(a + (b - a) * share) - py);
      if (off < distance) { distance = off; best = run; }
    }
    return best;
  };
  byId("sweep-caption").textContent =
    `A line for each run, across ${axes.map((axis) => axis.label).join(", ")}. Drag along an axis to keep the runs in that range, in all charts and the table; click there to take it away.`;
  byId("sweep-reset").addEventListener("click", () => reset());
  const reset = () => { ranges.clear(); choice.filter("ranges", null); redrawOver(); };
  choice.on("shown", redraw);
  choice.on("look", redraw);
  choice.on("selected", redrawOver);
  choice.on("hovered", redrawOver);
  watchWidth(box.parentElement, redraw);
  return { reset, axes, redraw };
})();
