// "Try it": cycles as JSON or CSV, answered, or told exactly what is wrong with them.
import { ask, between, el, notice, percent, Problem, words } from "./common.js";

export async function tryIt(place) {
  document.title = "Try it · Battery forecast";
  const text = el("textarea", { id: "cycles", spellcheck: "false", "aria-describedby": "hint" });
  const file = el("input", { id: "file", type: "file", accept: ".json,.csv,text/csv,application/json" });
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
      const window = cycles.filter((it) => it.is_usable).slice(-50).map((it) => it.features);
      text.value = `[\n${window.map((it) => ` ${JSON.stringify(it)}`).join(",\n")}\n]`;
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  });

  async function send(event) {
    event.preventDefault();
    answer.replaceChildren(el("p", { class: "quiet" }, "Asking …"));
    try {
      const body = text.value.trim().match(/^[[{]/) ? text.value : JSON.stringify(fromCsv(text.value));
      const said = await ask(`/predict${rest.value ? `?rest_hours=${encodeURIComponent(rest.value)}` : ""}`, body);
      answer.replaceChildren(result(said));
    } catch (error) {
      answer.replaceChildren(notice(error));
    }
  }

  place.append(
    el("h1", {}, "Try it"),
    el("p", { class: "quiet", id: "hint" }, "50 cycles, oldest first: a JSON list of objects, or CSV whose first line names the features. ",
      "avg_voltage_load (V), max_temperature (°C) and time_to_discharge (s) are needed; of more than 50 cycles the last 50 count."),
    el("form", { class: "card", onsubmit: send },
      el("div", { class: "card-head" }, el("label", { for: "cycles" }, "Cycles"), el("span", { class: "tools" }, example, el("label", { for: "file" }, "or a file"), file)),
      text,
      el("div", { class: "tools" }, el("label", { for: "rest" }, "Rest before the next cycle, h"), rest, el("button", { class: "primary" }, "Predict"))),
    answer);
}

function result(said) {
  const fact = (name, value, note) => el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null));
  return el("div", {}, el("dl", { class: "facts" },
    fact("SOH of the next cycle", percent(said.predicted_soh, 2), `90 % interval ${between(said.soh_low, said.soh_high)}`),
    fact("Capacity", `${said.predicted_capacity_ah.toFixed(3)} Ah`),
    fact("Cycles", `${said.cycles_used} used`, `of ${said.cycles_posted} posted`),
    fact("Model", said.features, said.model_version)),
  said.cycles_posted > said.cycles_used ? el("p", { class: "notice" }, `${said.cycles_posted} cycles were posted; the last ${said.cycles_used} count.`) : null,
  said.unlike_training.length ? el("p", { class: "notice" }, `Unlike anything in training: ${said.unlike_training.map(words).join(", ")}. Trust it less.`) : null);
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
