"use strict";
// What the page is about, and how numbers are written.
const report = JSON.parse(document.getElementById("report-data").textContent);
report.count = report.names.length;

// Costs are kept as differences of whole hundredths: see Curve.to_dict in lfadsq.
const summed = (differences, unit) => {
  let sum = 0;
  return Float64Array.from(differences, (one) => (one === null ? NaN : (sum += one) / unit));
};
report.curves = report.curves.map((curve) => {
  if (!curve) return null;
  const epochs = curve.epochs ? summed(curve.epochs, 1) : Float64Array.from(curve.valid, (_, n) => n + 1);
  return { epochs, train: summed(curve.train, 100), valid: summed(curve.valid, 100), warm: curve.warm };
});
report.column = Object.fromEntries(report.columns.map((column) => [column.key, column]));

const number = (value, digits = 5) =>
  value === null || !Number.isFinite(value) ? "–" : String(Number(value.toPrecision(digits)));
const cost = (value) => (value === null || !Number.isFinite(value) ? "–" : value.toFixed(2));
const duration = (seconds) => {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} min` : `${Math.round(hours / 24)} d`;
};
const utc = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
const describe = (run) =>
  report.hyperParams.map((one) => `${one.label} = ${one.texts[run] ?? "?"}`).join("\n");
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
const byId = (id) => document.getElementById(id);
