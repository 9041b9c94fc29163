// The model: what it learned from, how well it did on batteries it has never seen.
import { area, card, chart, colour, DASHES, downloads, line, plain, shade, tinted } from "./chart.js";
import { ask, batteryPath, between, el, percent, words } from "./common.js";

const ROLLING = 20;

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
    const answer = await ask(`${batteryPath(id)}/predictions`).catch(() => null);
    if (answer) series.push(...battery(id, answer.predictions));
  }
  if (!place.isConnected) return;
  const able = series.filter((it) => it.points.length);
  const pair = el("div", { class: "pair" });
  place.append(pair);
  if (able.length) await charts(pair, able);
  await training(pair, networks);
}

/** Put beside each prediction what persistence would have said, the last measured SOH before it; by the network that answered. */
function battery(id, steps) {
  const by = new Map();
  let last = null;
  for (const it of steps) {
    if (it.soh != null) {
      if (last != null) by.set(it.features, [...(by.get(it.features) ?? []), { ...it, last }]);
      last = it.soh;
    }
  }
  return [...by].map(([features, points]) => ({ id, features, name: plain(`${id}, by ${features}`), points }));
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
  const all = series.flatMap((it) => it.points.map((point) => ({ id: it.id, ...point })));
  const inside = all.filter((it) => it.soh >= it.soh_low && it.soh <= it.soh_high).length / all.length;
  const table = () => ({
    head: ["battery_id", "cycle_index", "features", "soh", "predicted_soh", "soh_low", "soh_high", "persistence"],
    rows: all.map((it) => [it.id, it.cycle_index, it.features, it.soh, it.predicted_soh, it.soh_low, it.soh_high, it.last]),
  });
  const add = (name, title, note) => {
    const made = area(title);
    pair.append(card(title, made, { tools: downloads(name, made, table), note }));
    return made;
  };
  const points = (value) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(2)} points`;
  const scatter = add("predicted_measured", "Predicted against measured SOH", "On the line the prediction is exact. Each by the network that the service answers with: the one whose training is most like the window.");
  const error = add("error_persistence", "Error against persistence", "Persistence says that the next cycle is as the last one.");
  const interval = add("calibration", "Calibration of the interval",
    `Of ${all.length} measured values ${percent(inside)} lie within the 90 % interval; the line is the share among ${ROLLING} cycles in a row.`);

  await chart(scatter, "predicted_measured", () => {
    const values = all.flatMap((it) => [it.soh, it.predicted_soh]);
    const ends = [Math.min(...values), Math.max(...values)];
    return {
      traces: [
        { name: "exact", x: ends, y: ends, mode: "lines", line: { color: colour("quiet"), dash: "dot", width: 1.2 }, hoverinfo: "skip" },
        ...series.map((it, k) => line(it.name, it.points.map((p) => p.soh), it.points.map((p) => p.predicted_soh),
          it.points.map((p) => `cycle ${p.cycle_index}: predicted ${percent(p.predicted_soh)} (90 %: ${between(p.soh_low, p.soh_high)}), measured ${percent(p.soh)}`),
          { mode: "markers", marker: { size: 6, symbol: k % 24, color: tinted(shade(k), 0.75) } })),
      ],
      layout: { hovermode: "closest", xaxis: { title: { text: "measured SOH" }, tickformat: ".0%" }, yaxis: { title: { text: "predicted SOH" }, tickformat: ".0%" } },
    };
  });
  await chart(error, "error_persistence", () => ({
    traces: series.flatMap((it, k) => {
      const x = it.points.map((p) => p.cycle_index);
      const [model, persistence] = [it.points.map((p) => p.predicted_soh - p.soh), it.points.map((p) => p.last - p.soh)];
      return [
        line(it.name, x, model, model.map(points), { line: { color: shade(k), width: 1.6, dash: DASHES[k % DASHES.length] } }),
        line(plain(`${it.id}, persistence`), x, persistence, persistence.map(points), { line: { color: colour("quiet"), width: 1.2, dash: "dot" }, legendgroup: `${it.id} persistence` }),
      ];
    }),
    layout: { margin: { l: 62 }, xaxis: { title: { text: "cycle" }, unifiedhovertitle: { text: "cycle %{x}" } }, yaxis: { title: { text: "predicted less measured SOH" } } },
  }));
  await chart(interval, "calibration", () => ({
    traces: series.map((it, k) => {
      const hits = it.points.map((p) => (p.soh >= p.soh_low && p.soh <= p.soh_high ? 1 : 0));
      const first = Math.min(ROLLING, hits.length) - 1;
      const share = hits.slice(first).map((_, at) => hits.slice(at, at + first + 1)).map((part) => part.reduce((a, b) => a + b, 0) / part.length);
      return line(it.name, it.points.slice(first).map((p) => p.cycle_index), share, share.map((value) => `${percent(value, 0)} inside`),
        { mode: share.length > 1 ? "lines" : "markers", line: { color: shade(k), width: 1.8, dash: DASHES[k % DASHES.length] }, marker: { color: shade(k), size: 7 } });
    }),
    layout: {
      xaxis: { title: { text: "cycle" } }, yaxis: { title: { text: "share inside" }, tickformat: ".0%", range: [0, 1.05] },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.9, y1: 0.9, line: { color: colour("bad"), dash: "dot", width: 1.3 } }],
    },
  }));
}

async function training(pair, networks) {
  const made = area("Loss over epochs");
  const longest = Math.max(...networks.map((it) => it.training_curve.length));
  const curves = () => ({
    head: ["epoch", ...networks.map((it) => `${it.features}_loss`)],
    rows: Array.from({ length: longest }, (_, k) => [k + 1, ...networks.map((it) => it.training_curve[k])]),
  });
  pair.append(card("Training curves", made, { tools: downloads("training_curve", made, curves) }));
  await chart(made, "training_curve", () => ({
    traces: networks.map((it, k) => line(it.features, it.training_curve.map((_, epoch) => epoch + 1), it.training_curve, it.training_curve.map((loss) => `loss ${loss.toPrecision(4)}`),
      { line: { color: shade(k), width: 1.8, dash: DASHES[k % DASHES.length] } })),
    layout: { xaxis: { title: { text: "epoch" } }, yaxis: { title: { text: "loss" }, type: "log" } },
  }));
}
