// "Try it": a cycler's file, or cycles as JSON or CSV, answered, or told exactly what is wrong with them.
import { all, ask, batteryPath, between, el, fact, field, notice, percent, Problem, verdict, words } from "./common.js";
import { dropped } from "./dropped.js";

const DRAFT = "battery-forecast-draft"; // what was typed, while the tab is open

export async function tryIt(place) {
  document.title = "Try it · Battery forecast";
  const { window: width, shortest } = await ask("/model");
  const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}");
  const text = el("textarea", { id: "cycles", spellcheck: "false", "aria-describedby": "hint" });
  const file = el("input", { id: "file", type: "file", accept: ".json,.csv,.tsv,.txt,text/csv,application/json" });
  const rated = el("input", { id: "rated", type: "number", min: 0, step: "any", placeholder: "unknown", value: draft.rated });
  const rest = el("input", { id: "rest", type: "number", min: 0, step: "any", placeholder: "unknown", value: draft.rest });
  const answer = el("div", { role: "status", id: "answer" });
  const example = el("button", { type: "button" }, "Use a battery's last cycles");
  text.value = draft.text ?? "";

  const keep = () => {
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ text: text.value, rated: rated.value, rest: rest.value }));
    } catch { sessionStorage.removeItem(DRAFT); } // too long to be kept
  };
  const put = (value) => { text.value = value; keep(); };
  for (const field of [text, rated, rest]) field.addEventListener("input", keep);
  file.addEventListener("change", async () => { if (file.files[0]) put(await file.files[0].text()); });
  example.addEventListener("click", async () => {
    try {
      const { batteries } = await ask("/batteries?limit=200");
      const able = batteries.find((it) => it.next_cycle) ?? batteries[0];
      if (!able) throw new Problem({ detail: "There is no battery to take them from.", status: 0 });
      const cycles = await all(`${batteryPath(able.battery_id)}/cycles`, "cycles", 5000);
      const window = cycles.filter((it) => it.is_usable).slice(-width).map((it) => ({ ...it.features, soh_target: it.soh }));
      put(`[\n${window.map((it) => JSON.stringify(it)).join(",\n")}\n]`);
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  });

  async function send(event) {
    event.preventDefault();
    answer.replaceChildren(el("p", { class: "quiet" }, "Asking …"));
    try {
      const isJson = /^[[{]/.test(text.value.trim());
      const body = isJson ? text.value : new Blob([text.value], { type: "text/csv" });
      const given = Object.entries({ rest_hours: rest.value, rated_capacity_ah: rated.value }).filter(([, value]) => value);
      const said = await ask(`/predict?${new URLSearchParams(given)}`, body);
      answer.replaceChildren(result(said));
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  }

  place.append(el("h1", {}, "Try it"));
  place.append(
    dropped(),
    el("form", { class: "card", onsubmit: send },
      el("div", { class: "card-head" }, el("label", { for: "cycles" }, "Cycles"), el("span", { class: "tools" }, example, field("or a file", file))),
      el("p", { class: "quiet", id: "hint" }, `${shortest < width ? `${shortest} to ${width}` : width} cycles, oldest first: a JSON list of objects, or a table whose first line names the features, as in cycle_series, separated by comma, semicolon or tab, as this page, a spreadsheet or psql writes it; of more than ${width} cycles the last ${width} count. `,
        "Each tells its health by soh_target, by discharge_capacity (Ah), or by avg_current_load (A) and time_to_discharge (s). Where the load is that of the training cells, avg_voltage_load (V), max_temperature (°C) and time_to_discharge (s) do."),
      text,
      el("div", { class: "tools" }, field("Rated capacity, Ah", rated), field("Rest before the next cycle, h", rest), el("button", { class: "primary" }, "Predict"))),
    answer);
}

function result(said) {
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
