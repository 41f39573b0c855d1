// What all charts share: layers of canvas over each other, a tooltip, and a plot with axes and zoom.
const PRINT_WIDTH = 960;
const GUTTER = 68;

const tip = (() => {
  const box = byId("tip");
  return {
    show(text, x, y) {
      box.textContent = text;
      box.hidden = false;
      const { width, height } = box.getBoundingClientRect();
      box.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - width - 8))}px`;
      box.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
    },
    hide() { box.hidden = true; },
  };
})();

// Drawing a frame later gathers all changes of that frame. Paper has no frames.
const once = (draw) => {
  let waits = false;
  return () => {
    if (colours.isPrinted) return void draw();
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; draw(); });
  };
};

const makeLayer = (parent) => {
  const canvas = element("canvas", { className: "layer" });
  canvas.setAttribute("aria-hidden", "true");
  parent.append(canvas);
  return {
    canvas,
    // Draws in CSS pixels, sharply: on paper as on a fine screen.
    draw(width, height, paint) {
      const scale = colours.isPrinted ? 2 : devicePixelRatio || 1;
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      const context = canvas.getContext("2d");
      context.scale(scale, scale);
      context.lineJoin = "round";
      paint(context, width, height);
    },
  };
};

const widthOf = (box) => (colours.isPrinted ? PRINT_WIDTH : box.clientWidth);

// Calls `draw` whenever the box gets another width, the first time soon after it is seen.
const watchWidth = (box, draw) => {
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== width && !colours.isPrinted) {
      width = box.clientWidth;
      draw();
    }
  }).observe(box);
};

const axisLook = (more) => ({
  stroke: () => colours.look.text,
  grid: { stroke: () => colours.look.grid, width: 1 },
  ticks: { stroke: () => colours.look.grid, width: 1 },
  font: "12px system-ui, sans-serif",
  labelFont: "12px system-ui, sans-serif",
  ...more,
});

// Times in UTC, of 24 hours, with the day where it begins.
const timeAxis = (more) => {
  const day = "\n{YYYY}-{MM}-{DD}";
  return axisLook({
    space: 70,
    size: 42,
    values: [
      [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
      [60, "{HH}:{mm}", day, null, day, null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", day, null, day, null, null, null, 1],
    ],
    ...more,
  });
};

// A plot: uPlot draws axes and zooms, `paint` what is in it, `paintOver` what changes with the mouse.
const makePlot = (box, { height, padding, axes, scales, rangeOf, paint, paintOver, onMove, onPick, onZoom, zoomsY = true }) => {
  let plot = null;
  let under = null;
  let over = null;
  let zoom = null;
  const range = (key) => () => (zoom && zoom[key] ? zoom[key] : rangeOf(key));
  const frame = () => ({ width: plot.over.clientWidth, height: plot.over.clientHeight });
  const place = (key, size) => {
    const { min, max, distr } = plot.scales[key];
    const is = distr === 3 ? Math.log10 : (value) => value;
    const low = is(min), span = is(max) - low || 1;
    return key === "x" ? (value) => ((is(value) - low) / span) * size : (value) => size - ((is(value) - low) / span) * size;
  };
  const places = (width, height) => ({ x: place("x", width), y: place("y", height) });
  const redraw = () => {
    if (!plot || !under) return;
    const { width, height } = frame();
    under.draw(width, height, (context) => paint(context, places(width, height), width, height));
    redrawOver();
  };
  const redrawOver = once(() => {
    if (!plot) return;
    const { width, height } = frame();
    over.draw(width, height, (context) => paintOver(context, places(width, height), width, height));
  });
  const build = () => {
    if (plot) plot.destroy();
    under = null;
    const width = widthOf(box);
    if (!width) return;
    const tall = typeof height === "function" ? height() : height;
    plot = new uPlot({
      width,
      height: tall,
      padding,
      pxRatio: colours.isPrinted ? 2 : undefined,
      legend: { show: false },
      scales: {
        x: { time: false, ...scales().x, range: range("x") },
        y: { ...scales().y, range: range("y") },
      },
      series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
      axes: axes(),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      cursor: {
        points: { show: false },
        y: zoomsY,
        drag: { x: true, y: zoomsY, uni: 24, setScale: false },
        bind: { dblclick: () => null },
      },
      hooks: {
        // Scales are set a moment after the plot is made: only then is there something to draw on.
        draw: [(one) => { plot = one; redraw(); }],
        setSelect: [(one) => {
          const { left, top, width: wide, height: high } = one.select;
          if (wide < 4 && high < 4) return;
          const spanned = (key, low, size, all) => (size > 3 && size < all ? [one.posToVal(low, key), one.posToVal(low + size, key)] : null);
          const x = spanned("x", left, wide, one.over.clientWidth);
          const y = zoomsY ? spanned("y", top, high, one.over.clientHeight) : null;
          one.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          setZoom({ x: x ?? zoom?.x, y: y ? y.reverse() : zoom?.y });
        }],
      },
    }, [[0, 1], [null, null]], box);
    under = makeLayer(plot.over);
    over = makeLayer(plot.over);
    let moved = false;
    plot.over.addEventListener("mousedown", () => { moved = false; });
    plot.over.addEventListener("mousemove", (event) => {
      moved = moved || event.buttons > 0 && Math.hypot(event.movementX, event.movementY) > 1;
      point(event);
    });
    plot.over.addEventListener("mouseleave", () => { tip.hide(); choice.hover(-1); });
    plot.over.addEventListener("click", (event) => { if (!moved) { point(event); onPick(); } });
    plot.over.addEventListener("dblclick", () => setZoom(null));
  };
  const point = (event) => {
    const rectangle = plot.over.getBoundingClientRect();
    const { width, height } = frame();
    onMove(event.clientX - rectangle.left, event.clientY - rectangle.top, places(width, height), event);
  };
  const rescale = () => {
    if (!plot) return build();
    plot.setData([[0, 1], [null, null]]);
  };
  const setZoom = (next) => {
    zoom = next;
    rescale();
    if (onZoom) onZoom(zoom);
  };
  watchWidth(box, build);
  choice.on("look", build);
  return {
    rebuild: build,
    rescale,
    redraw,
    redrawOver,
    setZoom,
    dim(is) { if (under) under.canvas.classList.toggle("dimmed", is); },
    get zoom() { return zoom; },
    get plot() { return plot; },
  };
};
