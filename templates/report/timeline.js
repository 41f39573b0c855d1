// Which run was on which device when. GPU charts below follow its zoom.
const timelineView = (() => {
  const box = byId("timeline-chart");
  const told = report.timeline;
  const caption = byId("timeline-caption");
  if (!told) {
    box.remove();
    byId("timeline").querySelector(".controls").remove();
    caption.textContent = "No queue has tried a run yet, or none that keeps records: when and where runs were trained is not known.";
    return { isEmpty: true, onZoom: () => {} };
  }
  const LABEL = 20, ROW = 15, GAP = 10, AXIS = 42;
  const listeners = [];
  let at = 4;
  const lanes = told.lanes.map((lane) => {
    // So many at once that rows would fill screens: they get thinner.
    const row = Math.max(2, Math.min(ROW, 160 / lane.rows));
    const placed = { ...lane, top: at, row, height: LABEL + lane.rows * row };
    at += placed.height + GAP;
    return placed;
  });
  const tall = at;
  const [began, ended] = told.span;
  const margin = Math.max((ended - began) * 0.01, 1);
  const hosts = new Set(told.lanes.map((lane) => lane.host));
  const words = { succeeded: "succeeded", failed: "failed", running: "runs", interrupted: "interrupted", cancelled: "cancelled", lost: "lost", unknown: "end not known" };
  const fill = (look, how) => ({ succeeded: look.ok, failed: look.bad, running: look.now }[how] ?? look.other);

  const bar = (context, place, lane, stay, change) => {
    const [run, , from, to, row, how] = stay;
    const left = place.x(from), wide = Math.max(place.x(to) - left, 1.5);
    const top = lane.top + LABEL + row * lane.row, high = Math.max(lane.row - 2, 1);
    context.globalAlpha = run >= 0 && !choice.shown[run] ? 0.15 : 1;
    context.fillStyle = fill(colours.look, how);
    context.fillRect(left, top, wide, high);
    if (how === "failed" && wide > 5) {  // told without colour too
      context.strokeStyle = colours.look.page;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(left + wide - 5, top + 2);
      context.lineTo(left + wide - 2, top + high - 2);
      context.moveTo(left + wide - 2, top + 2);
      context.lineTo(left + wide - 5, top + high - 2);
      context.stroke();
    }
    if (change) {
      context.strokeStyle = colours.look.strong;
      context.lineWidth = change;
      context.strokeRect(left - 1, top - 1, wide + 2, high + 2);
    }
    context.globalAlpha = 1;
  };
  const view = makePlot(box, {
    height: tall + AXIS,
    padding: [0, 16, 0, 0],
    zoomsY: false,
    // On a wide screen it stands right above what the GPUs did.
    axes: () => [timeAxis(), widthOf(box) < 700 ? { show: false } : { size: GUTTER, splits: () => [], grid: { show: false }, ticks: { show: false } }],
    scales: () => ({ x: { time: true }, y: {} }),
    rangeOf: (key) => (key === "x" ? [began - margin, ended + margin] : [0, 1]),
    paint(context, place, width) {
      const look = colours.look;
      context.font = "12px system-ui, sans-serif";
      for (const lane of lanes) {
        context.fillStyle = look.text;
        context.fillText(`${lane.name}${hosts.size > 1 || !lane.isGpu ? ` on ${lane.host}` : ""}`, 2, lane.top + 13);
        const top = lane.top + LABEL, high = lane.rows * lane.row - 2;
        for (const [from, to] of lane.idle) {
          const left = place.x(from), wide = place.x(to) - left;
          if (wide < 0.7 || left > width || left + wide < 0) continue;
          context.fillStyle = look.idle;
          context.globalAlpha = 0.28;
          context.fillRect(left, top, wide, high);
          context.globalAlpha = 1;
          context.fillRect(left, top + high - 2, wide, 2);
          const text = duration(to - from);
          const middle = Math.max(left, 0) + (Math.min(left + wide, width) - Math.max(left, 0)) / 2;
          if (context.measureText(text).width + 8 < Math.min(left + wide, width) - Math.max(left, 0) && high >= 12) {
            context.textAlign = "center";
            context.fillStyle = look.text;
            context.fillText(text, middle, top + Math.min(high / 2 + 4, 11));
            context.textAlign = "left";
          }
        }
        for (const stay of lane.stays) bar(context, place, lane, stay, 0);
      }
    },
    paintOver(context, place) {
      for (const lane of lanes) for (const stay of lane.stays) {
        if (stay[0] >= 0 && (choice.selected.has(stay[0]) || stay[0] === choice.hovered)) bar(context, place, lane, stay, stay[0] === choice.hovered ? 2.5 : 1.8);
      }
    },
    onMove(x, y, place, event) {
      const lane = lanes.find((one) => y >= one.top && y <= one.top + one.height);
      const row = lane ? Math.floor((y - lane.top - LABEL) / lane.row) : -1;
      const stay = lane?.stays.find((one) => one[4] === row && x >= place.x(one[2]) - 2 && x <= Math.max(place.x(one[3]), place.x(one[2]) + 1.5) + 2);
      choice.hover(stay ? stay[0] : -1);
      if (stay) {
        const [run, name, from, to, , how, cause] = stay;
        return tip.show([run >= 0 ? report.names[run] : name, run >= 0 ? describe(run) : "",
          `${utc(from)} to ${utc(to)} UTC, ${duration(to - from)}`, `${words[how] ?? how}${cause ? `: ${cause}` : ""}`]
          .filter(Boolean).join("\n"), event.clientX, event.clientY);
      }
      const gap = lane && row >= 0 ? lane.idle.find(([from, to]) => x >= place.x(from) && x <= place.x(to)) : null;
      if (gap) tip.show(`${lane.name}: idle for ${duration(gap[1] - gap[0])}\n${utc(gap[0])} to ${utc(gap[1])} UTC`, event.clientX, event.clientY);
      else tip.hide();
    },
    onPick: () => choice.toggle(choice.hovered),
    onZoom: (zoom) => listeners.forEach((listener) => listener(zoom?.x ?? null)),
  });
  const count = (how) => told.lanes.reduce((sum, lane) => sum + lane.stays.filter((stay) => stay[5] === how).length, 0);
  const idle = told.lanes.reduce((sum, lane) => sum + lane.idle.reduce((all, [from, to]) => all + to - from, 0), 0);
  const num = told.lanes.reduce((sum, lane) => sum + lane.stays.length, 0);
  caption.textContent = `${num} ${num === 1 ? "attempt" : "attempts"} on ${told.lanes.length} ${told.lanes.length === 1 ? "device" : "devices"} (times in UTC): `
    + Object.keys(words).filter(count).map((how) => `${count(how)} ${words[how]}`).join(", ")
    + `. Green: succeeded; red with a cross: failed; blue: at work; grey: anything else. Yellow: idle, together ${duration(idle)}. A device idles while a queue looked at it, or, where there is no GPU history, between two runs of one queue, and has no run.`;
  choice.on("shown", view.redraw);
  choice.on("selected", view.redrawOver);
  choice.on("hovered", view.redrawOver);
  byId("time-reset").addEventListener("click", () => view.setZoom(null));
  return Object.assign(view, {
    onZoom: (listener) => listeners.push(listener),
    range: () => [began - margin, ended + margin],
  });
})();
