// A cycler's file, dropped on the page or chosen: its cycles, its last curve and what is forecast of it.
import { area, band, card, chart, colour, downloads, line } from "./chart.js";
import { ask, between, el, fact, field, notice, percent, verdict, words } from "./common.js";

const OPEN = 3; // batteries of a file that are shown at once; the others on demand

export function dropped() {
  const file = el("input", { id: "recording", type: "file" });
  const rated = el("input", { id: "rated-file", type: "number", min: 0, step: "any", placeholder: "if known" });
  const answer = el("div", { id: "recorded", "aria-live": "polite" });
  const zone = el("div", { class: "drop" },
    el("p", {}, el("label", { for: "recording" }, "Drop a cycler's file here, or choose one"), " "), file,
    el("p", { class: "quiet" }, "A MATLAB file of NASA's, a table, a workbook, Parquet or Neware's: its discharges are found, measured and forecast. It is not kept."));
  let latest = 0;

  const over = (is) => (event) => { event.preventDefault(); zone.classList.toggle("over", is); };
  zone.addEventListener("dragover", over(true));
  zone.addEventListener("dragleave", over(false));
  zone.addEventListener("drop", (event) => { over(false)(event); if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]); });
  file.addEventListener("change", () => { if (file.files[0]) send(file.files[0]); });

  return el("section", { class: "card", "aria-label": "A cycler's file" },
    el("div", { class: "card-head" }, el("h2", {}, "A cycler's file"), field("Rated capacity, Ah", rated)),
    zone, answer);

  async function send(chosen) {
    const mine = ++latest;
    const started = Date.now();
    const size = chosen.size < 1e6 ? `${Math.ceil(chosen.size / 1e3)} kB` : `${(chosen.size / 1e6).toFixed(1)} MB`;
    const counting = el("span");
    answer.replaceChildren(el("p", { class: "quiet" }, `Reading ${chosen.name}, ${size}: it takes 5 to 30 seconds. `, counting));
    const timer = setInterval(() => { counting.textContent = `${Math.round((Date.now() - started) / 1000)} s so far.`; }, 1000);
    counting.setAttribute("aria-hidden", "true");
    try {
      const body = new FormData();
      body.append("file", chosen);
      const said = await ask(`/predict/file${rated.value ? `?${new URLSearchParams({ rated_capacity_ah: rated.value })}` : ""}`, body);
      if (mine !== latest || !answer.isConnected) return;
      answer.replaceChildren(el("p", { class: "quiet" }, `${said.filename}: ${said.batteries.length === 1 ? "one battery" : `${said.batteries.length} batteries`}.`),
        ...said.notes.map((it) => el("p", { class: "notice", "data-note": "" }, it)));
      for (const [k, it] of said.batteries.entries()) {
        if (k < OPEN) await battery(answer, it);
        else answer.append(folded(it));
      }
    } catch (error) {
      if (mine === latest && answer.isConnected) answer.replaceChildren(notice(error));
    } finally {
      clearInterval(timer);
      file.value = ""; // the same file may be chosen again
    }
  }
}

function folded(it) {
  const made = el("details", {}, el("summary", {}, it.battery_id));
  made.addEventListener("toggle", () => battery(made, it), { once: true });
  return made;
}

async function battery(place, it) {
  const kept = it.cycles.filter((each) => each.is_usable);
  const known = kept.filter((each) => each.soh != null || each.discharge_capacity_ah != null);
  const isHealth = kept.some((each) => each.soh != null);
  const next = it.next_cycle;
  const end = it.forecast?.end_of_life;
  const life = area(`Health of ${it.battery_id} over cycles`, 380);
  const curve = area(`Last discharge of ${it.battery_id}`);
  place.append(
    el("h3", {}, it.battery_id),
    it.refused ? el("p", { class: "notice", "data-refused": it.battery_id }, `No forecast: ${it.refused}`) : "",
    el("dl", { class: "facts" },
      fact("Cycles", String(kept.length), it.cycles.length > kept.length ? `${it.cycles.length - kept.length} left out: ${[...new Set(it.cycles.filter((each) => !each.is_usable).map((each) => words(each.reason)))].join(", ")}` : "all recorded ones"),
      fact("Rated", it.rated_capacity_ah == null ? "–" : `${it.rated_capacity_ah} Ah`, it.rated_capacity_ah == null ? "give it above: without it there is no state of health" : null),
      fact("Last SOH", percent(kept.findLast((each) => each.soh != null)?.soh)),
      next ? fact("Next cycle", percent(next.predicted_soh), `${between(next.soh_low, next.soh_high)}, by ${next.features}: ${words(next.reason)}`) : fact("Next cycle", "–"),
      end ? fact("Remaining cycles", end.cycles == null ? `> ${it.forecast.horizon}` : String(end.cycles), end.cycles_low == null ? null : `${end.cycles_low} – ${end.cycles_high ?? `over ${it.forecast.horizon}`}, at 90 %`) : fact("Remaining cycles", "–")));
  const said = next ? verdict(next) : null;
  if (said) place.append(said);
  if (known.length) {
    place.append(card(`Cycles of ${it.battery_id} and the forecast`, life, { tools: downloads(`${it.battery_id}_cycles`, life, () => table(it)) }));
    await chart(life, "recorded cycles", () => cycles(it, known, isHealth));
  }
  if (it.curve) {
    place.append(card(`Voltage of ${it.battery_id} in cycle ${it.curve.cycle_index}`, curve));
    await chart(curve, "recorded curve", () => ({
      traces: [line(`cycle ${it.curve.cycle_index}`, it.curve.time_s, it.curve.voltage_v, it.curve.voltage_v.map((v, k) => `${v?.toFixed(3)} V, ${it.curve.current_a[k]?.toFixed(2)} A`), { line: { color: colour("predicted"), width: 1.8 } })],
      layout: { xaxis: { title: { text: "time, s" } }, yaxis: { title: { text: "voltage, V" } } },
    }));
  }
}

function cycles({ forecast }, known, isHealth) {
  const shown = isHealth ? known.filter((each) => each.soh != null) : known;
  const value = (each) => (isHealth ? each.soh : each.discharge_capacity_ah);
  const traces = [line("measured", shown.map((each) => each.cycle_index), shown.map(value), shown.map((each) => (isHealth ? `measured ${percent(each.soh)}` : `${each.discharge_capacity_ah.toFixed(3)} Ah`)),
    { mode: shown.length < 60 ? "lines+markers" : "lines", line: { color: colour("measured"), width: 1.4 }, marker: { size: 6, color: colour("measured") } })];
  if (forecast) {
    const last = known.at(-1).cycle_index;
    const x = forecast.soh.map((_, k) => last + 1 + k);
    traces.push(...band("forecast", x, forecast.soh_low, forecast.soh_high, "forecast"),
      line("forecast, with its 90 % interval", x, forecast.soh, forecast.soh.map((soh, k) => `forecast ${percent(soh)} (90 %: ${between(forecast.soh_low[k], forecast.soh_high[k])})`),
        { legendgroup: "forecast", line: { color: colour("forecast"), width: 2, dash: "dash" } }));
  }
  return { traces, layout: { xaxis: { title: { text: "cycle" } }, yaxis: isHealth ? { title: { text: "SOH" }, tickformat: ".0%" } : { title: { text: "capacity, Ah" } } } };
}

function table({ cycles: recorded }) {
  const features = [...new Set(recorded.flatMap((it) => Object.keys(it.features ?? {})))];
  return {
    head: ["discharge_index", "cycle_index", "started_at", "discharge_capacity_ah", "soh", "reason", ...features.filter((it) => it !== "soh")],
    rows: recorded.map((it) => [it.discharge_index, it.cycle_index, it.started_at, it.discharge_capacity_ah, it.soh, it.reason, ...features.map((name) => it.features?.[name])]),
  };
}
