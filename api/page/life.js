// What is drawn of a battery over its cycles: health, forecast, features, resistance, and as tables.
import { band, colour, line, plain, shade } from "./chart.js";
import { between, el, percent, words } from "./common.js";

const REST_H = 12; // a pause longer than this, with a gain in SOH, is marked as a rest
const GAIN = 0.005;
const FEW = 60; // so few ground truths are points of their own
const FEATURES = {
  avg_voltage_load: ["Voltage, V", "V"],
  max_temperature: ["Highest temp., °C", "°C"],
  time_to_discharge: ["Discharge, s", "s"],
};
const RESISTANCES = { ohmic_resistance: "ohmic", internal_resistance: "internal", charge_transfer_resistance: "charge transfer" };
const column = (rows, name) => rows.map((it) => it[name]);

export function lifeChart({ kept, known, one, ahead, out, summary }) {
  const traces = [];
  const end = ahead?.end_of_life?.soh ?? 0.7;
  const told = (soh, low, high) => `${percent(soh)} (90 %: ${between(low, high)})`;
  if (one.length) {
    const x = column(one, "cycle_index");
    traces.push(...band("predicted", x, column(one, "soh_low"), column(one, "soh_high"), "predicted"),
      line("predicted, one step, with its 90 % interval", x, column(one, "predicted_soh"), one.map((it) => `${told(it.predicted_soh, it.soh_low, it.soh_high)}, by ${it.features}`),
        { legendgroup: "predicted", line: { color: colour("predicted"), width: 1.6 } }));
  }
  if (ahead?.soh) {
    const x = ahead.soh.map((_, k) => ahead.last_cycle_index + 1 + k);
    traces.push(...band("forecast", x, ahead.soh_low, ahead.soh_high, "forecast"),
      line("forecast, with its 90 % interval", x, ahead.soh, ahead.soh.map((soh, k) => `${told(soh, ahead.soh_low[k], ahead.soh_high[k])}`),
        { legendgroup: "forecast", line: { color: colour("forecast"), width: 2, dash: "dash" } }));
  }
  traces.push(line("measured", column(known, "cycle_index"), column(known, "soh"), known.map((it) => `${percent(it.soh)}, ${it.discharge_capacity_ah?.toFixed(3) ?? "–"} Ah`),
    { mode: known.length <= FEW || known.length < kept.length / 2 ? "lines+markers" : "lines", marker: { size: 6, color: colour("measured") }, line: { color: colour("measured"), width: 1.4 } }));
  const rest = rests(known);
  if (rest.length) traces.push(line("regained after a rest", column(rest, "cycle_index"), column(rest, "soh"), rest.map((it) => `+${(100 * it.gain).toFixed(1)} points after ${it.hours.toFixed(0)} h of rest`),
    { mode: "markers", marker: { symbol: "triangle-up", size: 9, color: colour("other") } }));

  // a capacity of what is left out tells nothing, so that it has a strip of its own
  const marks = leftOut(out, kept);
  const names = Object.keys(FEATURES).filter((name) => kept.some((it) => it.features[name] != null));
  const low = names.length ? 0.52 : 0;
  const strip = marks.length ? 0.045 : 0;
  if (marks.length) traces.push(line("left out", column(marks, "x"), marks.map(() => 0), marks.map((it) => `${it.of.length} × ${plain(words(it.reason))}`),
    { mode: "markers", marker: { symbol: "x", size: 8, color: colour("bad") }, yaxis: "y9", customdata: marks.map((it) => it.of[0]) }));
  names.forEach((name, k) => traces.push(line(words(name), column(kept, "cycle_index"), kept.map((it) => it.features[name]),
    kept.map((it) => (it.features[name] == null ? "" : `${Number(it.features[name].toPrecision(4))} ${FEATURES[name][1]}`)),
    { yaxis: `y${k + 2}`, showlegend: false, line: { color: colour("other"), width: 1.3 } })));
  // an interval may be as wide as the window's own changes: it is cut off where it would flatten all else
  const seen = [end, ...column(known, "soh"), ...column(one, "predicted_soh"), ...(ahead?.soh_low ?? []), ...(ahead?.soh_high ?? [])];
  const [least, most] = [seen.reduce((a, b) => Math.min(a, b)), seen.reduce((a, b) => Math.max(a, b))];
  const margin = 0.05 * (most - least) + 0.005;
  const layout = {
    hoversubplots: "axis", margin: { l: 78 },
    xaxis: { title: { text: "cycle" }, unifiedhovertitle: { text: "cycle %{x}" }, rangemode: "nonnegative", anchor: names.length ? `y${names.length + 1}` : marks.length ? "y9" : "y", showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: colour("quiet") },
    yaxis: { title: { text: "SOH" }, domain: [low + strip, 1], range: [least - margin, most + margin], tickformat: ".0%" },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: end, y1: end, line: { color: colour("bad"), dash: "dot", width: 1.3 } }],
    annotations: [{ xref: "paper", x: 0, xanchor: "left", y: end, yanchor: "bottom", text: `end of life, ${percent(end)}`, showarrow: false, font: { color: colour("bad"), size: 12 } }],
  };
  if (marks.length) layout.yaxis9 = { domain: [low, low + strip - 0.01], range: [-1, 1], fixedrange: true, showticklabels: false, showgrid: false, zeroline: false };
  names.forEach((name, k) => {
    const height = 0.46 / names.length;
    const top = 0.47 - k * height;
    layout[`yaxis${k + 2}`] = { title: { text: FEATURES[name][0].replace(", ", "<br>"), font: { size: 11.5 }, standoff: 30 }, domain: [top - height + 0.03, top], nticks: 4 };
  });
  return { traces, layout };
}

/** A discharge that was left out has no cycle of its own: it stands between its neighbours. */
function leftOut(out, kept) {
  const found = new Map();
  let before = 0;
  for (const it of out) {
    while (before < kept.length && kept[before].discharge_index < it.discharge_index) before += 1;
    const x = (kept[before - 1]?.cycle_index ?? 0) + 0.5;
    const key = `${x} ${it.reason}`;
    if (!found.has(key)) found.set(key, { x, reason: it.reason, of: [] });
    found.get(key).of.push(it.discharge_index);
  }
  return [...found.values()];
}

function rests(known) {
  const hours = (a, b) => (new Date(b.started_at) - new Date(a.started_at)) / 3.6e6;
  return known.slice(1)
    .map((it, k) => ({ ...it, gain: it.soh - known[k].soh, hours: it.features.rest_hours ?? hours(known[k], it) }))
    .filter((it) => it.gain > GAIN && it.hours > REST_H);
}

export function lifeTable({ kept, one, ahead, out }) {
  const predicted = new Map(one.map((it) => [it.cycle_index, it]));
  const features = [...new Set(kept.flatMap((it) => Object.keys(it.features)))];
  const rows = kept.map((it) => {
    const p = predicted.get(it.cycle_index);
    return ["measured", it.discharge_index, it.cycle_index, it.started_at, it.soh, p?.predicted_soh, p?.soh_low, p?.soh_high, it.reason, ...features.map((name) => it.features[name])];
  });
  (ahead?.soh ?? []).forEach((soh, k) => rows.push(["forecast", null, ahead.last_cycle_index + 1 + k, null, null, soh, ahead.soh_low[k], ahead.soh_high[k]]));
  out.forEach((it) => rows.push(["left out", it.discharge_index, null, it.started_at, null, null, null, null, it.reason]));
  return { head: ["kind", "discharge_index", "cycle_index", "started_at", "soh", "predicted_soh", "soh_low", "soh_high", "reason", ...features], rows };
}

export const hasResistance = ({ kept }) => kept.some((it) => Object.keys(RESISTANCES).some((name) => it.features[name] != null));

export function resistanceChart({ kept }) {
  const there = Object.keys(RESISTANCES).filter((name) => kept.some((it) => it.features[name] != null));
  return {
    traces: there.map((name) => {
      const known = kept.filter((it) => it.features[name] != null);
      const k = Object.keys(RESISTANCES).indexOf(name);
      return line(RESISTANCES[name], column(known, "cycle_index"), known.map((it) => 1000 * it.features[name]), known.map((it) => `${(1000 * it.features[name]).toFixed(1)} mΩ`),
        { mode: known.length <= FEW ? "lines+markers" : "lines", line: { color: shade(k), width: 1.6, dash: ["solid", "dash", "dot"][k] }, marker: { size: 6, color: shade(k) } });
    }),
    layout: { xaxis: { title: { text: "cycle" }, unifiedhovertitle: { text: "cycle %{x}" }, rangemode: "nonnegative" }, yaxis: { title: { text: "resistance, mΩ" }, rangemode: "tozero" } },
  };
}

export function resistanceTable({ kept }) {
  const names = Object.keys(RESISTANCES);
  return { head: ["cycle_index", ...names.map((it) => `${it}_ohm`)], rows: kept.map((it) => [it.cycle_index, ...names.map((name) => it.features[name])]) };
}

export function left({ out }) {
  const reasons = new Map();
  for (const it of out) reasons.set(it.reason, (reasons.get(it.reason) ?? 0) + 1);
  if (!reasons.size) return null;
  return el("p", { class: "quiet" }, "Left out: ", [...reasons].map(([reason, count]) => `${count} × ${words(reason)}`).join(", "), ".");
}
