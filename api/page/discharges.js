// The discharges of a battery that are looked at closely: voltage over time, charge per volt.
import { area, card, chart, colour, downloads, line, shade } from "./chart.js";
import { announce, ask, doing, el, field, Problem, words } from "./common.js";

/**
 * Two cards, and what chooses the discharge in them: `pick(points)` by a click in another chart,
 * `start()` as the address says, else the last cycle.
 */
export function discharges(place, { id, kept, known, out }, path, state) {
  const curves = area(`Voltage of ${id} over time`);
  const volts = area(`Charge per volt of ${id}`);
  const number = el("input", { id: "cycle", type: "number", min: 1, max: kept.length, step: 1, value: kept.length });
  const rejected = el("select", { id: "discharge" }, el("option", { value: "" }, "–"),
    out.map((it) => el("option", { value: it.discharge_index }, `discharge ${it.discharge_index}, ${words(it.reason)}`)));
  const caption = el("p", { class: "quiet" });
  let pair = [];
  let slopes = [];
  let latest = 0;
  const asked = new Map();
  const get = (rest) => {
    if (!asked.has(rest)) {
      asked.set(rest, ask(`${path}/${rest}`));
      asked.get(rest).catch(() => asked.delete(rest)); // it may be asked again
    }
    return asked.get(rest);
  };
  // a cycle that is no ground truth, as a walk of loads, has no charge per volt
  const full = known.length ? known : kept;
  const marks = [0, Math.floor((full.length - 1) / 2), full.length - 1].map((k) => full[k]?.cycle_index).filter(Boolean);

  number.addEventListener("change", doing(place, () => choose(number.valueAsNumber)));
  rejected.addEventListener("change", doing(place, () => (rejected.value ? open(Number(rejected.value)) : choose(kept.length))));

  const cards = [
    card("Measured voltage of a discharge against the first", curves, {
      tools: [field("Cycle", number), out.length ? field("or one that was left out", rejected) : null, downloads(`${id}_voltage`, curves, curveTable)],
      note: "Click a point in a chart above, or type the number of its cycle.",
    }),
    card("Incremental capacity, −dQ/dV", volts, { tools: downloads(`${id}_incremental_capacity`, volts, slopeTable), after: caption }),
  ];
  return { cards: kept.length || out.length ? cards : [], pick, start };

  function pick(points) {
    const marked = points.find((it) => it.customdata != null);
    if (marked && !points.some((it) => Number.isInteger(it.x))) return open(Array.isArray(marked.customdata) ? marked.customdata[0] : marked.customdata);
    const cycle = points.map((it) => it.x).find((x) => Number.isInteger(x) && x >= 1 && x <= kept.length);
    return cycle ? choose(cycle) : undefined;
  }

  async function start() {
    const asked = Number(state.get("discharge"));
    if (out.some((it) => it.discharge_index === asked)) return open(asked);
    const cycle = Number(state.get("cycle"));
    if (kept.length) return choose(isCycle(cycle) ? cycle : kept.length);
    if (out.length) return open(out[0].discharge_index);
  }

  function isCycle(cycle) {
    return Number.isInteger(cycle) && cycle >= 1 && cycle <= kept.length;
  }

  async function choose(cycle) {
    if (!isCycle(cycle)) throw new Problem({ detail: `There is no cycle ${number.value || "without a number"}: there are 1 to ${kept.length}.`, status: 0 });
    const mine = ++latest;
    number.value = cycle;
    rejected.value = "";
    state.set("cycle", cycle === kept.length ? "" : cycle);
    state.set("discharge", "");
    const measured = await Promise.all([...new Set([1, cycle])].map((it) => get(`cycles/${it}/curve`)));
    const told = await perVolts(cycle);
    if (mine !== latest) return;
    [pair, slopes] = [measured, told];
    announce(`Voltage of cycle ${cycle} against cycle 1`);
    await draw(`curve ${cycle}`, cycle);
  }

  async function open(index) {
    const mine = ++latest;
    rejected.value = index;
    state.set("discharge", index);
    state.set("cycle", "");
    const [first, it] = await Promise.all([kept.length ? get("cycles/1/curve") : null, get(`discharges/${index}/curve`)]);
    const told = await perVolts();
    if (mine !== latest) return;
    [pair, slopes] = [[first, it].filter(Boolean), told];
    announce(`Voltage of discharge ${index}, left out: ${words(it.reason)}`);
    await draw(`discharge ${index}`);
  }

  /** The first, the middle and the last that can be compared, and the chosen one. */
  function perVolts(cycle) {
    const of = [...new Set([...marks, cycle].filter(Boolean))].sort((a, b) => a - b);
    return Promise.all(of.map((it) => get(`cycles/${it}/incremental-capacity`)));
  }

  async function draw(name, cycle) {
    await Promise.all([chart(curves, name, voltages), slopes.length ? chart(volts, `slopes ${cycle ?? ""}`, () => perVolt(cycle)) : null]);
  }

  function voltages() {
    return {
      traces: pair.map((it, k) => {
        const isFirst = k === 0 && pair.length > 1;
        const start = it.time_s.find((t) => t != null);
        const seconds = it.time_s.map((t) => (t == null ? null : t - start));
        return line(it.cycle_index == null ? `discharge ${it.discharge_index}, left out: ${words(it.reason)}` : `cycle ${it.cycle_index}`, seconds, it.voltage_v,
          it.voltage_v.map((v, n) => `${v?.toFixed(3)} V, ${it.current_a[n]?.toFixed(2)} A${it.temperature_c?.[n] == null ? "" : `, ${it.temperature_c[n].toFixed(1)} °C`}`),
          { line: { width: 1.8, color: colour(isFirst ? "quiet" : it.cycle_index == null ? "bad" : "predicted"), dash: isFirst ? "dot" : "solid" } });
      }),
      layout: { xaxis: { title: { text: "time since the recording's start, s" }, unifiedhovertitle: { text: "%{x:.0f} s" } }, yaxis: { title: { text: "voltage, V" } } },
    };
  }

  function perVolt(cycle) {
    const able = slopes.filter((it) => !it.refused);
    const lacking = slopes.filter((it) => it.refused);
    const [any] = able;
    caption.textContent = [
      any && `The charge that a cycle gave per volt, of the voltages that only fall, on a grid of ${1000 * any.step_v} mV; each value is the slope over ${Math.round(1000 * any.smoothed_over_v)} mV, so that narrower peaks are flattened. Made of ${able.map((it) => `${it.samples} samples in cycle ${it.cycle_index}`).join(", ")}.`,
      ...lacking.map((it) => `Cycle ${it.cycle_index}: ${it.refused}.`)].filter(Boolean).join(" ");
    return {
      traces: able.map((it, k) => line(`cycle ${it.cycle_index}`, it.voltage_v, it.ah_per_v, it.ah_per_v.map((value) => `${value.toFixed(2)} Ah/V`),
        { line: { width: it.cycle_index === cycle ? 2.4 : 1.5, color: shade(k), dash: ["dot", "dash", "solid", "dashdot"][k % 4] } })),
      layout: { xaxis: { title: { text: "voltage, V" }, unifiedhovertitle: { text: "%{x:.3f} V" } }, yaxis: { title: { text: "−dQ/dV, Ah/V" }, rangemode: "tozero" } },
    };
  }

  function curveTable() {
    return {
      head: ["discharge_index", "cycle_index", "time_s", "voltage_v", "current_a", "temperature_c"],
      rows: pair.flatMap((it) => it.time_s.map((t, k) => [it.discharge_index ?? kept[it.cycle_index - 1]?.discharge_index, it.cycle_index, t, it.voltage_v[k], it.current_a[k], it.temperature_c?.[k]])),
    };
  }

  function slopeTable() {
    return {
      head: ["cycle_index", "voltage_v", "ah_per_v"],
      rows: slopes.filter((it) => !it.refused).flatMap((it) => it.voltage_v.map((v, k) => [it.cycle_index, v, it.ah_per_v[k]])),
    };
  }
}
