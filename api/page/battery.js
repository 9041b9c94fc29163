// One battery: measured, predicted and to come; its features; the curve of a chosen cycle.
import { announce, ask, between, chart, colour, downloads, el, isByRetention, isOver, measure, percent, remaining, tinted, verdict, words } from "./common.js";

const REST_H = 12; // a pause longer than this, with a gain in SOH, is marked as a rest
const GAIN = 0.005;
const SHOWN = {
  avg_voltage_load: "Voltage, V",
  max_temperature: "Highest temp., °C",
  time_to_discharge: "Discharge, s",
};

export async function battery(place, id) {
  document.title = `${id} · Battery forecast`;
  const path = `/batteries/${encodeURIComponent(id)}`;
  const [summary, recorded] = await Promise.all([ask(path), ask(`${path}/cycles?limit=5000`)]);
  // too few cycles, or no model: what was measured is shown all the same
  const orNothing = (asked) => asked.catch((error) => ({ problem: error.message }));
  const steps = await orNothing(ask(`${path}/predictions`));
  const isNext = steps.predictions?.at(-1)?.cycle_index > summary.cycles;
  const next = isNext ? await orNothing(ask(`${path}/prediction`)) : { problem: steps.problem ?? "too few cycles, or without a feature or a rating" };
  const kept = recorded.cycles.filter((it) => it.is_usable);
  const known = kept.filter((it) => it.soh != null);
  const life = el("div", { class: "chart", "aria-label": `SOH and features of ${id} over cycles` });
  life.style.height = "720px";
  const horizon = el("select", { id: "horizon" }, [50, 100, 200, 500].map((it) => el("option", { selected: it === 100 }, String(it))));
  const facts = el("dl", { class: "facts" });
  const said = el("div");
  const pick = el("input", { id: "cycle", type: "number", min: 1, max: kept.length, value: kept.length });
  const curves = el("div", { class: "chart", "aria-label": `Voltage of ${id} over time` });
  let ahead = null;
  let shown = [];
  let pair = [];

  place.append(
    el("p", {}, el("a", { href: "#/fleet" }, "← Fleet")),
    el("h1", {}, id),
    el("p", { class: "quiet" }, [summary.battery_group, summary.ambient && `ambient ${summary.ambient}`, summary.load && `load ${summary.load}`,
      summary.rated_capacity_ah ? `rated ${summary.rated_capacity_ah} Ah` : "not rated: no state of health"].filter(Boolean).join(" · ")),
    facts, said,
    el("section", { class: "card", "aria-labelledby": "life" },
      el("div", { class: "card-head" }, el("h2", { id: "life" }, "State of health and features"),
        el("span", { class: "tools" }, el("label", { for: "horizon" }, "Cycles ahead"), horizon, downloads(`${id}_soh`, life, lifeTable))),
      life, left()),
    el("section", { class: "card", "aria-labelledby": "curve" },
      el("div", { class: "card-head" }, el("h2", { id: "curve" }, "Measured voltage of a cycle against the first"),
        el("span", { class: "tools" }, el("label", { for: "cycle" }, "Cycle"), pick, downloads(`${id}_voltage`, curves, curveTable))),
      el("p", { class: "quiet" }, "Click a cycle above, or type its number."), curves));

  horizon.addEventListener("change", () => foretell().then(() => chart(life, "life", describe)));
  pick.addEventListener("change", () => choose(Number(pick.value)));

  await foretell();
  await chart(life, "life", describe);
  life.on("plotly_click", ({ points }) => {
    const cycle = points.map((it) => Math.round(it.x)).find((it) => it >= 1 && it <= kept.length);
    if (cycle) choose(cycle);
  });
  if (kept.length) await choose(kept.length);

  async function foretell() {
    ahead = known.length ? await orNothing(ask(`${path}/forecast?horizon=${horizon.value}`)) : { problem: "no measured SOH" };
    const [cycles, range] = remaining(ahead.end_of_life, horizon.value);
    const fact = (name, value, note) => el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null));
    said.replaceChildren(verdict(ahead) ?? "");
    facts.replaceChildren(
      fact("Cycles", String(summary.cycles), summary.discharges > summary.cycles ? `${summary.discharges - summary.cycles} left out` : "all recorded ones"),
      fact("Last SOH", percent(summary.last_soh), `first ${percent(summary.first_soh)}`),
      fact("Retention", percent(summary.last_retention), "of its own first capacities at this load and temperature"),
      next.problem ? fact("Next cycle", "–", next.problem)
        : fact("Next cycle", percent(next.predicted_soh), `${between(next.soh_low, next.soh_high)} · ${next.predicted_capacity_ah.toFixed(2)} Ah, by ${next.features}: ${next.reason.replaceAll("_", " ")}`),
      isOver(summary) ? fact("Remaining cycles", "0", `below 70 % by ${measure(summary)} since cycle ${summary.end_of_life_cycle}`)
        : ahead.problem ? fact("Remaining cycles", "–", ahead.problem)
          : fact("Remaining cycles", cycles, [ahead.is_reached ? `${range}, at 90 %` : range || `not within ${horizon.value}`,
            isByRetention(summary) && `until ${percent(ahead.end_of_life.soh)}, 70 % of its first capacities here`].filter(Boolean).join("; ")));
  }

  // an excluded discharge has no cycle of its own: it stands between its neighbours
  function excluded() {
    let before = 0;
    const found = new Map();
    for (const it of summary.rated_capacity_ah ? recorded.cycles : []) {
      if (it.is_usable) before = it.cycle_index;
      else {
        const soh = Math.min(Math.max((it.discharge_capacity_ah ?? 0) / summary.rated_capacity_ah, 0), 1.2);
        const same = found.get(`${before} ${it.reason}`);
        if (same) same.count += 1;
        else found.set(`${before} ${it.reason}`, { x: before + 0.5, y: soh, reason: it.reason, count: 1 });
      }
    }
    return [...found.values()];
  }

  function rests() {
    const hours = (a, b) => (new Date(b.started_at) - new Date(a.started_at)) / 3.6e6;
    return known.slice(1)
      .map((it, k) => ({ ...it, gain: it.soh - known[k].soh, hours: it.features.rest_hours ?? hours(known[k], it) }))
      .filter((it) => it.gain > GAIN && it.hours > REST_H);
  }

  function describe() {
    const line = (name, x, y, rest) => ({ name, x, y, type: "scatter", mode: "lines", hovertemplate: "%{y:.3f}", ...rest });
    const band = (x, low, high, name) => [
      line("", x, high, { line: { width: 0 }, hoverinfo: "skip", hovertemplate: null, showlegend: false }),
      line(`${name}, 90 % interval`, x, low, { line: { width: 0 }, fill: "tonexty", fillcolor: tinted(name === "forecast" ? "forecast" : "predicted", 0.2), hoverinfo: "skip", hovertemplate: null }),
    ];
    const traces = [];
    const end = ahead.end_of_life?.soh ?? 0.7;
    const one = steps.predictions ?? [];
    if (one.length) {
      const x = one.map((it) => it.cycle_index);
      traces.push(...band(x, one.map((it) => it.soh_low), one.map((it) => it.soh_high), "predicted"),
        line("predicted, one step", x, one.map((it) => it.predicted_soh), { line: { color: colour("predicted"), width: 1.6 } }));
    }
    if (ahead.soh) {
      const x = ahead.soh.map((_, k) => ahead.last_cycle_index + 1 + k);
      traces.push(...band(x, ahead.soh_low, ahead.soh_high, "forecast"),
        line("forecast", x, ahead.soh, { line: { color: colour("forecast"), width: 2, dash: "dash" } }));
    }
    traces.push(line("measured", known.map((it) => it.cycle_index), known.map((it) => it.soh), { line: { color: colour("measured"), width: 1.4 } }));
    const rest = rests();
    if (rest.length) traces.push(line("regained after a rest", rest.map((it) => it.cycle_index), rest.map((it) => it.soh), {
      mode: "markers", marker: { symbol: "triangle-up", size: 9, color: colour("other") },
      customdata: rest.map((it) => [it.hours, 100 * it.gain]), hovertemplate: "+%{customdata[1]:.1f} points after %{customdata[0]:.0f} h" }));
    const out = excluded();
    if (out.length) traces.push(line("left out", out.map((it) => it.x), out.map((it) => it.y), {
      mode: "markers", marker: { symbol: "x", size: 8, color: colour("bad") }, text: out.map((it) => `${it.count} × ${words(it.reason)}`), hovertemplate: "%{text}" }));
    const names = Object.keys(SHOWN).filter((name) => kept.some((it) => it.features[name] != null));
    names.forEach((name, k) => traces.push(line(words(name), kept.map((it) => it.cycle_index), kept.map((it) => it.features[name]), {
      yaxis: `y${k + 2}`, showlegend: false, hovertemplate: "%{y:.4~g}", line: { color: colour("other"), width: 1.3 } })));
    const layout = {
      hoversubplots: "axis",
      margin: { l: 62, r: 12, t: 30, b: 40 },
      xaxis: { title: { text: "cycle" }, anchor: names.length ? `y${names.length + 1}` : "y", showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: colour("quiet") },
      yaxis: { title: { text: "SOH" }, domain: names.length ? [0.52, 1] : [0, 1], tickformat: ".0%" },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: end, y1: end, line: { color: colour("bad"), dash: "dot", width: 1.3 } }],
      annotations: [{ xref: "paper", x: 0, xanchor: "left", y: end, yanchor: "bottom", text: `end of life, ${percent(end)}`, showarrow: false, font: { color: colour("bad"), size: 12 } }],
    };
    names.forEach((name, k) => {
      const height = 0.46 / names.length;
      const top = 0.47 - k * height;
      layout[`yaxis${k + 2}`] = { title: { text: SHOWN[name].replace(", ", "<br>"), font: { size: 11.5 } }, domain: [top - height + 0.03, top], nticks: 4 };
    });
    shown = [one, ahead];
    return { traces, layout };
  }

  function lifeTable() {
    const [one, to] = shown;
    const predicted = new Map(one.map((it) => [it.cycle_index, it]));
    const features = [...new Set(kept.flatMap((it) => Object.keys(it.features)))];
    const rows = kept.map((it) => {
      const p = predicted.get(it.cycle_index);
      return ["measured", it.cycle_index, it.soh, p?.predicted_soh, p?.soh_low, p?.soh_high, it.reason, ...features.map((name) => it.features[name])];
    });
    (to.soh ?? []).forEach((soh, k) => rows.push(["forecast", to.last_cycle_index + 1 + k, null, soh, to.soh_low[k], to.soh_high[k], ""]));
    recorded.cycles.filter((it) => !it.is_usable).forEach((it) => rows.push(["left out", null, null, null, null, null, it.reason]));
    return { head: ["kind", "cycle_index", "soh", "predicted_soh", "soh_low", "soh_high", "reason", ...features], rows };
  }

  async function choose(cycle) {
    if (!(cycle >= 1 && cycle <= kept.length)) return;
    pick.value = cycle;
    const wanted = [...new Set([1, cycle])];
    pair = await Promise.all(wanted.map((it) => ask(`${path}/cycles/${it}/curve`)));
    announce(`Voltage of cycle ${cycle} against cycle 1`);
    await chart(curves, `curve ${cycle}`, () => ({
      traces: pair.map((it, k) => ({
        name: `cycle ${it.cycle_index}`, x: it.time_s.map((t) => t - it.time_s[0]), y: it.voltage_v, mode: "lines", hovertemplate: "%{y:.3f} V",
        line: { width: 1.8, color: colour(k === 0 && pair.length > 1 ? "quiet" : "predicted"), dash: k === 0 && pair.length > 1 ? "dot" : "solid" },
      })),
      layout: { showlegend: true, margin: { l: 52, r: 12, t: 26, b: 40 }, xaxis: { title: { text: "time since the recording's start, s" } }, yaxis: { title: { text: "voltage, V" } } },
    }));
  }

  function curveTable() {
    return {
      head: ["cycle_index", "time_s", "voltage_v", "current_a", "temperature_c"],
      rows: pair.flatMap((it) => it.time_s.map((t, k) => [it.cycle_index, t, it.voltage_v[k], it.current_a[k], it.temperature_c?.[k]])),
    };
  }

  function left() {
    const reasons = new Map();
    for (const it of recorded.cycles.filter((each) => !each.is_usable)) reasons.set(it.reason, (reasons.get(it.reason) ?? 0) + 1);
    if (!reasons.size) return null;
    return el("p", { class: "quiet" }, "Left out: ", [...reasons].map(([reason, count]) => `${count} × ${words(reason)}`).join(", "), ".");
  }
}
