// Colours that people with any colour vision tell apart: Okabe and Ito's for kinds, viridis for sizes.
const colours = (() => {
  const kinds = {
    light: ["#0072b2", "#d55e00", "#009e73", "#b0578d", "#8a6d00", "#3a9bd6", "#555555", "#e69f00"],
    dark: ["#56b4e9", "#f08a45", "#2fc9a0", "#e09bc5", "#f0e442", "#8cc8f5", "#bbbbbb", "#e69f00"],
  };
  const viridis = [
    [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
    [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
  ];
  const looks = {
    light: { text: "#57606a", grid: "#e3e7eb", strong: "#1b1f24", page: "#ffffff", ok: "#3f9c85", bad: "#b3401a", now: "#0b62a8", other: "#98a0a8", idle: "#c79200" },
    dark: { text: "#a3abb5", grid: "#2b3138", strong: "#ffffff", page: "#14171b", ok: "#3fae8f", bad: "#f08a62", now: "#74b9f0", other: "#77808a", idle: "#e0b84a" },
  };
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  let isPrinted = false;
  const theme = () => (isDark.matches && !isPrinted ? "dark" : "light");
  // Neither end may vanish in the page: the dark one in a dark page, the light one in a light one.
  const ramp = (share) => {
    const [low, high] = theme() === "dark" ? [0.25, 1] : [0, 0.86];
    const at = (low + (high - low) * share) * (viridis.length - 1);
    const before = Math.min(Math.floor(at), viridis.length - 2);
    const mixed = viridis[before].map((one, n) => Math.round(one + (viridis[before + 1][n] - one) * (at - before)));
    return `rgb(${mixed.join(",")})`;
  };
  const kind = (n) => kinds[theme()][n % kinds.light.length];

  const options = [];
  const ofNumbers = (label, values, isLog) => {
    const told = values.filter((one) => one !== null && (!isLog || one > 0));
    const size = (value) => (isLog ? Math.log(value) : value);
    const low = Math.min(...told), high = Math.max(...told);
    const share = (value) => (high > low ? (size(value) - size(low)) / (size(high) - size(low)) : 0.5);
    const distinct = [...new Set(told)].sort((a, b) => a - b);
    options.push({
      label,
      of: (run) => (values[run] === null ? looks[theme()].other : ramp(share(values[run]))),
      legend: distinct.length <= 8
        ? () => distinct.map((value) => [number(value), ramp(share(value))])
        : () => [[number(low), number(high)]],
    });
  };
  const ofKinds = (label, values, names) => {
    const place = new Map(names.map((name, n) => [name, n]));
    const colour = (n) => (names.length > 8 ? ramp(n / (names.length - 1)) : kind(n));
    options.push({
      label,
      of: (run) => (place.has(values[run]) ? colour(place.get(values[run])) : looks[theme()].other),
      legend: () => (names.length > 12 ? [] : names.map((name, n) => [name, colour(n)])),
    });
  };
  report.hyperParams.forEach((one) => {
    if (one.kind === "category") ofKinds(one.label, one.texts, one.categories);
    else ofNumbers(one.label, one.numbers, one.kind === "log");
  });
  const groups = [...new Set(report.groups)].sort();
  if (groups.length > 1) ofKinds("data", report.groups, groups);
  if (report.column.valid.values.some((one) => one !== null)) ofNumbers("validation cost", report.column.valid.values, false);
  ofKinds("state", report.column.state.values, [...new Set(report.column.state.values)].sort());
  // Few runs that differ in nothing still have to be told apart.
  if (report.count > 1 && report.count <= 8) ofKinds("run", report.names, report.names);

  let chosen = options[0];
  let cache = [];
  const refresh = () => { cache = report.names.map((_, run) => chosen.of(run)); };
  refresh();
  const retell = () => { refresh(); choice.tell("look"); };
  isDark.addEventListener("change", retell);
  return {
    options,
    kind,
    get chosen() { return chosen; },
    get look() { return looks[theme()]; },
    of: (run) => cache[run],
    rampStops: () => [0, 0.25, 0.5, 0.75, 1].map(ramp).join(","),
    choose(n) { chosen = options[n]; retell(); },
    print(is) { isPrinted = is; retell(); },
    get isPrinted() { return isPrinted; },
  };
})();
