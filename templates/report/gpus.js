// What GPUs did over time: three charts over one another, a line for each device that is chosen.
const gpusView = (() => {
  const box = byId("gpu-charts");
  const told = report.gpus;
  if (!box || !told) return { isEmpty: true };
  const MOST_LINES = 3;
  const which = byId("gpu-which");
  const isKnown = (one) => one !== null;
  const mean = (values) => {
    const known = values.filter(isKnown);
    return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
  };
  const measures = [
    ["utilisation", "utilisation [%]", () => [0, 100]],
    ["used", "memory [GB]", (high) => [0, Math.max(high, 1)]],
    ["power", "power [W]", (high) => [0, Math.max(high * 1.05, 10)]],
  ].filter(([key]) => told.devices.some((device) => device[key].some(isKnown)));
  told.devices.forEach((device) => { device.used = device.used.map((one) => (one === null ? null : one / 1000)); });
  const means = {
    name: `mean of ${told.devices.length} GPUs`,
    memory: mean(told.devices.map((device) => device.memory)),
    ...Object.fromEntries(measures.map(([key]) => [key, told.times.map((_, n) => mean(told.devices.map((device) => device[key][n])))])),
  };
  const option = (label, value) => element("option", { textContent: label, value });
  if (told.devices.length > 1) which.append(option("all", "all"), option(means.name, "mean"));
  which.append(...told.devices.map((device, n) => option(device.name, String(n))));
  if (told.devices.length > MOST_LINES) which.value = "mean";
  const devices = () => (which.value === "all" ? told.devices : which.value === "mean" ? [means] : [told.devices[Number(which.value)]]);
  const range = timelineView.isEmpty ? () => [told.times[0], told.times[told.times.length - 1]] : timelineView.range;
  let zoom = null;
  let plots = [];
  const build = () => {
    const width = widthOf(box);
    if (!width) return;
    plots.forEach((plot) => plot.destroy());
    const drawn = devices();
    plots = measures.map(([key, label, limits], n) => {
      const columns = drawn.map((device) => device[key]);
      let high = key === "used" ? Math.max(...drawn.map((device) => (device.memory ?? 0) / 1000)) : 0;
      for (const column of columns) for (const one of column) high = Math.max(high, one ?? 0);
      const isLast = n === measures.length - 1;
      const plot = new uPlot({
        width,
        height: isLast ? 158 : 130,
        padding: [8, 16, 0, 0],
        pxRatio: colours.isPrinted ? 2 : undefined,
        legend: { show: true, live: true },
        cursor: { sync: { key: "time" }, y: false, points: { size: 5 }, drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => null } },
        scales: { x: { time: true, range: () => zoom ?? range() }, y: { range: limits(high) } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        axes: [timeAxis(isLast ? {} : { values: () => [], size: 12 }), axisLook({ label, labelSize: 20, size: GUTTER - 20, space: 24 })],
        series: [
          { label: "time (UTC)", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
          ...drawn.map((device) => ({
            label: device.name,
            stroke: () => colours.kind(Math.max(told.devices.indexOf(device), 0)),
            width: 1.3,
            dash: told.devices.indexOf(device) >= 8 ? [6, 3] : undefined,
            spanGaps: false,
            points: { show: false },
            value: (_, value) => (value === null || value === undefined ? "" : `${number(value, 3)} ${label.replace(/.*\[|\]/g, "")}`),
          })),
        ],
        hooks: { setSelect: [(one) => {
          if (one.select.width < 4) return;
          const x = [one.posToVal(one.select.left, "x"), one.posToVal(one.select.left + one.select.width, "x")];
          one.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          follow(x);
        }] },
      }, [told.times, ...columns], box);
      const chart = plot.root.querySelector(".u-wrap");
      chart.setAttribute("role", "img");
      chart.setAttribute("aria-label", `${label}, ${drawn.length === 1 ? drawn[0].name : `${drawn.length} GPUs`}, over time; means are in the table below`);
      plot.over.addEventListener("dblclick", () => follow(null));
      return plot;
    });
  };
  const follow = (x) => (timelineView.isEmpty ? take(x) : timelineView.setZoom(x ? { x } : null));
  const take = (x) => {
    zoom = x;
    plots.forEach((plot) => plot.setData(plot.data));
  };
  timelineView.onZoom(take);
  which.addEventListener("change", build);
  watchWidth(box, build);
  choice.on("look", build);
  return { build };
})();
