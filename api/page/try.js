// "Try it": cycles as JSON or CSV, answered, or told exactly what is wrong with them.
import { ask, between, el, notice, percent, Problem, verdict, words } from "./common.js";

export async function tryIt(place) {
  document.title = "Try it · Battery forecast";
  const { window: width, shortest } = await ask("/model");
  const text = el("textarea", { id: "cycles", spellcheck: "false", "aria-describedby": "hint" });
  const file = el("input", { id: "file", type: "file", accept: ".json,.csv,text/csv,application/json" });
  const rated = el("input", { id: "rated", type: "number", min: 0, step: "any", placeholder: "unknown" });
  const rest = el("input", { id: "rest", type: "number", min: 0, step: "any", placeholder: "unknown" });
  const answer = el("div", { role: "status", id: "answer" });
  const example = el("button", { type: "button" }, "Use a battery's last cycles");

  file.addEventListener("change", async () => { if (file.files[0]) text.value = await file.files[0].text(); });
  example.addEventListener("click", async () => {
    try {
      const { batteries } = await ask("/batteries?limit=200");
      const able = batteries.find((it) => it.next_cycle) ?? batteries[0];
      if (!able) throw new Problem({ detail: "There is no battery to take them from." });
      const { cycles } = await ask(`/batteries/${encodeURIComponent(able.battery_id)}/cycles?limit=5000`);
      const window = cycles.filter((it) => it.is_usable).slice(-width).map((it) => ({ ...it.features, soh_target: it.soh }));
      text.value = `[\n${window.map((it) => JSON.stringify(it)).join(",\n")}\n]`;
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  });

  async function send(event) {
    event.preventDefault();
    answer.replaceChildren(el("p", { class: "quiet" }, "Asking …"));
    try {
      const body = text.value.trim().match(/^[[{]/) ? text.value : JSON.stringify(fromCsv(text.value));
      const given = Object.entries({ rest_hours: rest.value, rated_capacity_ah: rated.value }).filter(([, value]) => value);
      const said = await ask(`/predict?${new URLSearchParams(given)}`, body);
      answer.replaceChildren(result(said));
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  }

  place.append(
    el("h1", {}, "Try it"),
    el("p", { class: "quiet", id: "hint" }, `${shortest < width ? `${shortest} to ${width}` : width} cycles, oldest first: a JSON list of objects, or CSV whose first line names the features, as in cycle_series; of more than ${width} cycles the last ${width} count. `,
      "Each tells its health by soh_target, by discharge_capacity (Ah), or by avg_current_load (A) and time_to_discharge (s). Where the load is that of the training cells, avg_voltage_load (V), max_temperature (°C) and time_to_discharge (s) do."),
    el("form", { class: "card", onsubmit: send },
      el("div", { class: "card-head" }, el("label", { for: "cycles" }, "Cycles"), el("span", { class: "tools" }, example, el("label", { for: "file" }, "or a file"), file)),
      text,
      el("div", { class: "tools" }, el("label", { for: "rated" }, "Rated capacity, Ah"), rated, el("label", { for: "rest" }, "Rest before the next cycle, h"), rest, el("button", { class: "primary" }, "Predict"))),
    answer);
}

function result(said) {
  const fact = (name, value, note) => el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null));
  return el("div", {}, el("dl", { class: "facts" },
    fact("SOH of the next cycle", percent(said.predicted_soh, 2),
      said.predicted_soh == null ? "give the rated capacity: it is not that of the training cells" : `90 % interval ${between(said.soh_low, said.soh_high)}, by ${words(said.soh_source)}`),
    said.predicted_capacity_ah == null ? fact("Capacity", "–", "give the rated capacity")
      : fact("Capacity", `${said.predicted_capacity_ah.toFixed(3)} Ah`, `90 % interval ${said.capacity_low_ah.toFixed(3)} – ${said.capacity_high_ah.toFixed(3)} Ah`),
    fact("Cycles", `${said.cycles_used} used`, `of ${said.cycles_posted} posted`),
    fact("Network", said.features, said.reason)),
  said.cycles_posted > said.cycles_used ? el("p", { class: "notice" }, `${said.cycles_posted} cycles were posted; the last ${said.cycles_used} count.`) : null,
  verdict(said));
}

function fromCsv(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  if (lines.length < 2) throw new Problem({ detail: "There are no cycles: give a JSON list, or CSV with a line of names and one line per cycle." });
  const names = lines[0].split(",").map((it) => it.trim().replace(/^"|"$/g, ""));
  return lines.slice(1).map((line, k) => {
    const cells = line.split(",").map((it) => it.trim());
    if (cells.length !== names.length) throw new Problem({ detail: `Line ${k + 2} has ${cells.length} values, the first line names ${names.length}.` });
    // what is no number is sent as it stands: the service says which cycle and field it is
    return Object.fromEntries(names.map((name, n) => [name, cells[n] === "" ? null : Number.isNaN(Number(cells[n])) ? cells[n] : Number(cells[n])]));
  });
}
