// The model: what it learned from, how well it did on batteries it has never seen.
import { ask, chart, colour, downloads, el, percent, tinted, words } from "./common.js";

const ROLLING = 20;
const SHADES = ["predicted", "other", "forecast", "bad"];

export async function model(place) {
  document.title = "Model · Battery forecast";
  const { networks, model_version: version, shortest, window: width } = await ask("/model");
  const tested = [...new Set(networks.flatMap((it) => Object.keys(it.errors)))];
  place.append(
    el("h1", {}, "Model"),
    el("p", { class: "quiet" }, `Version ${version}, windows of ${shortest < width ? `${shortest} to ${width}` : width} cycles. The batteries that a network was tested on are unseen in its training.`),
    learned(networks), errors(networks), await health(version));
  const series = [];
  for (const id of tested) {
    const answer = await ask(`/batteries/${encodeURIComponent(id)}/predictions`).catch(() => null);
    if (answer) series.push(battery(id, answer.predictions));
  }
  const able = series.filter((it) => it.points.length);
  const pair = el("div", { class: "pair" });
  place.append(pair);
  if (able.length) await charts(pair, able);
  await training(pair, networks);
}

/** Put beside each prediction what persistence would have said: the last measured SOH before it. */
function battery(id, steps) {
  const points = [];
  let last = null;
  for (const it of steps) {
    if (it.soh != null) {
      if (last != null) points.push({ ...it, last });
      last = it.soh;
    }
  }
  return { id, points };
}

function table(title, heads, rows) {
  const id = title.toLowerCase().replaceAll(/\W+/g, "-");
  return el("section", { class: "card", "aria-labelledby": id },
    el("div", { class: "card-head" }, el("h2", { id }, title)),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Table: ${title}` }, el("table", {},
      el("thead", {}, el("tr", {}, heads.map(([name, kind]) => el("th", { scope: "col", class: kind }, name)))), el("tbody", {}, rows))));
}

function learned(networks) {
  const rows = networks.map((it) => el("tr", { "data-network": it.features },
    el("td", {}, it.features, el("small", {}, new Date(it.trained_at).toLocaleString())),
    el("td", {}, it.train.join(", ")), el("td", {}, it.test.join(", ")),
    el("td", {}, Object.entries(it.sees).map(([name, meaning]) => el("div", {}, words(name), el("small", {}, meaning))))));
  return table("Networks", [["Network"], ["Learned from"], ["Tested on"], ["Sees of each cycle"]], rows);
}

/** A network beside persistence over the same windows: networks that need fewer cycles have more of them. */
function errors(networks) {
  const rows = networks.flatMap((network) => Object.entries(network.errors).flatMap(([id, methods]) => Object.entries(methods).map(([method, it]) => el("tr", {},
    el("td", {}, id), el("td", {}, method === "model" ? network.features : el("span", { class: "quiet" }, words(method))),
    [it.windows, it.rmse?.toFixed(4), it.mae?.toFixed(4), it.mape?.toFixed(2), it.r2?.toFixed(3)].map((value) => el("td", { class: "number" }, String(value ?? "–")))))));
  return table("Errors on unseen batteries, in SOH",
    [["Battery"], ["Method"], ...["Windows", "RMSE", "MAE", "MAPE, %", "R²"].map((it) => [it, "number"])], rows);
}

/** How forecasts did that were kept and have come since; the model in use first. */
async function health(version) {
  const { models, refusal } = await ask("/model/health").catch((error) => ({ models: [], refusal: error.message }));
  const soh = (value, sign = "") => (value == null ? "–" : `${value > 0 ? sign : ""}${value.toFixed(4)}`);
  const rows = [...models].sort((a, b) => (b.model_version === version) - (a.model_version === version)).map((it) => el("tr", {},
    el("td", {}, it.battery_group, el("small", {}, `${it.batteries}\u00a0${it.batteries === 1 ? "battery" : "batteries"}, ${it.cycles}\u00a0cycles`)),
    el("td", {}, it.model_version === version ? "this model" : it.model_version),
    [soh(it.rmse), soh(it.persistence_rmse), percent(it.coverage), soh(it.bias, "+"), percent(it.share_unlike_training)].map((value) => el("td", { class: "number" }, value)),
    el("td", {}, it.rmse > (it.persistence_rmse ?? Infinity) ? el("span", { class: "flag warn" }, "worse than persistence") : null)));
  const empty = "No forecast that was kept has been measured yet: python -m model.predict keeps them.";
  return el("section", { class: "card", "aria-labelledby": "health" },
    el("div", { class: "card-head" }, el("h2", { id: "health" }, "Health: forecasts of the next cycle against what came")),
    rows.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of model health" }, el("table", {},
      el("thead", {}, el("tr", {}, ["Group", "Model"].map((it) => el("th", { scope: "col" }, it)),
        ["RMSE", "Persistence", "Within 90 % interval", "Bias", "Unlike training"].map((it) => el("th", { scope: "col", class: "number" }, it)), el("th", { scope: "col" }, "Flags"))),
      el("tbody", {}, rows))) : el("p", { class: "quiet" }, refusal ?? empty));
}

async function charts(pair, series) {
  const add = (name, title, note) => {
    const area = el("div", { class: "chart", "aria-label": title });
    const head = el("div", { class: "card-head" }, el("h2", {}, title));
    pair.append(el("section", { class: "card", "aria-label": title }, head, note ? el("p", { class: "quiet" }, note) : null, area));
    return { area, head, name };
  };
  const all = series.flatMap((it) => it.points.map((point) => ({ id: it.id, ...point })));
  const inside = all.filter((it) => it.soh >= it.soh_low && it.soh <= it.soh_high).length / all.length;
  const table = () => ({
    head: ["battery_id", "cycle_index", "soh", "predicted_soh", "soh_low", "soh_high", "persistence"],
    rows: all.map((it) => [it.id, it.cycle_index, it.soh, it.predicted_soh, it.soh_low, it.soh_high, it.last]),
  });
  const scatter = add("predicted_measured", "Predicted against measured SOH", "On the line the prediction is exact.");
  const error = add("error_persistence", "Error against persistence", "Persistence says that the next cycle is as the last one.");
  const interval = add("calibration", "Calibration of the interval",
    `Of ${all.length} measured values ${percent(inside)} lie within the 90 % interval; the line is the share among ${ROLLING} cycles in a row.`);
  for (const it of [scatter, error, interval]) it.head.append(downloads(it.name, it.area, table));

  await chart(scatter.area, scatter.name, () => {
    const values = all.flatMap((it) => [it.soh, it.predicted_soh]);
    const ends = [Math.min(...values), Math.max(...values)];
    return {
      traces: [
        { name: "exact", x: ends, y: ends, mode: "lines", line: { color: colour("quiet"), dash: "dot", width: 1.2 }, hoverinfo: "skip" },
        ...series.map((it, k) => ({ name: it.id, x: it.points.map((p) => p.soh), y: it.points.map((p) => p.predicted_soh), mode: "markers", text: it.points.map((p) => `cycle ${p.cycle_index}`),
          marker: { size: 6, color: tinted(SHADES[k % 4], 0.75) }, hovertemplate: "%{text}: %{y:.3f}, measured %{x:.3f}" })),
      ],
      layout: { hovermode: "closest", margin: { l: 58, r: 12, t: 26, b: 44 }, xaxis: { title: { text: "measured SOH" }, tickformat: ".0%" }, yaxis: { title: { text: "predicted SOH" }, tickformat: ".0%" } },
    };
  });
  await chart(error.area, error.name, () => ({
    traces: series.flatMap((it, k) => [
      { name: `${it.id}, model`, x: it.points.map((p) => p.cycle_index), y: it.points.map((p) => p.predicted_soh - p.soh), mode: "lines", line: { color: colour(SHADES[k % 4]), width: 1.6 }, hovertemplate: "%{y:+.4f}" },
      { name: `${it.id}, persistence`, x: it.points.map((p) => p.cycle_index), y: it.points.map((p) => p.last - p.soh), mode: "lines", line: { color: colour("quiet"), width: 1.2, dash: "dot" }, hovertemplate: "%{y:+.4f}" },
    ]),
    layout: { margin: { l: 62, r: 12, t: 26, b: 44 }, xaxis: { title: { text: "cycle" } }, yaxis: { title: { text: "predicted less measured SOH" } } },
  }));
  await chart(interval.area, interval.name, () => ({
    traces: series.map((it, k) => {
      const hits = it.points.map((p) => (p.soh >= p.soh_low && p.soh <= p.soh_high ? 1 : 0));
      const first = Math.min(ROLLING, hits.length) - 1;
      const share = hits.slice(first).map((_, k) => hits.slice(k, k + first + 1)).map((part) => part.reduce((a, b) => a + b, 0) / part.length);
      return { name: it.id, x: it.points.slice(first).map((p) => p.cycle_index), y: share, mode: "lines", line: { color: colour(SHADES[k % 4]), width: 1.8 }, hovertemplate: "%{y:.0%}" };
    }),
    layout: {
      showlegend: true, margin: { l: 58, r: 12, t: 26, b: 44 }, xaxis: { title: { text: "cycle" } }, yaxis: { title: { text: "share inside" }, tickformat: ".0%", range: [0, 1.05] },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.9, y1: 0.9, line: { color: colour("bad"), dash: "dot", width: 1.3 } }],
    },
  }));
}

async function training(pair, networks) {
  const area = el("div", { class: "chart", "aria-label": "Loss over epochs" });
  const longest = Math.max(...networks.map((it) => it.training_curve.length));
  const curves = () => ({
    head: ["epoch", ...networks.map((it) => `${it.features}_loss`)],
    rows: Array.from({ length: longest }, (_, k) => [k + 1, ...networks.map((it) => it.training_curve[k])]),
  });
  pair.append(el("section", { class: "card", "aria-label": "Training curve" },
    el("div", { class: "card-head" }, el("h2", {}, "Training curves"), downloads("training_curve", area, curves)), area));
  await chart(area, "training_curve", () => ({
    traces: networks.map((it, k) => ({ name: it.features, x: it.training_curve.map((_, epoch) => epoch + 1), y: it.training_curve, mode: "lines", line: { color: colour(SHADES[k % 4]), width: 1.8 }, hovertemplate: "%{y:.4~g}" })),
    layout: { showlegend: true, margin: { l: 58, r: 12, t: 26, b: 44 }, xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: "loss" }, type: "log" } },
  }));
}
