// Several batteries over one another: by cycle, throughput or date; state of health or retention.
import { area, card, chart, DASHES, downloads, line, plain, shade } from "./chart.js";
import { announce, ask, batteryPath, batteryView, doing, el, field, kept, percent, Problem } from "./common.js";

const MOST = 50;
const ALONG = { cycle: ["cycle_index", "cycle"], throughput: ["throughput_ah", "charge delivered, Ah"], date: ["started_at", "date"] };
const SHOWN = { soh: ["soh", "SOH"], retention: ["capacity_retention", "retention"] };

export async function compare(place) {
  document.title = "Compare · Battery forecast";
  const state = kept({ of: "", along: "cycle", shown: "soh", off: "", zoom: "" });
  let ids = state.get("of").split(",").filter(Boolean).map(decodeURIComponent);
  let courses = [];
  const title = "State of health of several batteries";
  const plot = area(title, 520);
  const said = el("p", { class: "quiet" });
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Batteries that are compared" });
  const names = el("datalist", { id: "names" });
  const wanted = el("input", { id: "wanted", list: "names", placeholder: "battery", autocomplete: "off", oninput: doing(place, suggest) });

  const choice = (name, label, values) => field(label, el("select", { id: name, onchange: doing(place, async (event) => {
    state.set(name, event.target.value);
    state.set("zoom", "");
    await draw();
  }) }, Object.entries(values).map(([value, text]) => el("option", { value, selected: value === state.get(name) }, text))));

  place.append(
    el("h1", {}, "Compare"),
    el("form", { class: "card tools", onsubmit: doing(place, async (event) => {
      event.preventDefault();
      await add([wanted.value.trim()].filter(Boolean));
    }) },
      field("Battery", wanted), names, el("button", { class: "primary" }, "Add"),
      el("button", { type: "button", title: "Every battery of the named one's group", onclick: doing(place, group) }, "Add its group"),
      el("button", { type: "button", onclick: doing(place, () => show([])) }, "Clear")),
    chips, said,
    card(title, plot, {
      tools: [choice("along", "Along", { cycle: "cycle", throughput: "throughput, Ah", date: "date" }), choice("shown", "Shown", { soh: "SOH", retention: "retention" }), downloads("compared", plot, table)],
      note: "A colour is a group of like conditions, a dash or mark a battery in it. Ground truths only.",
    }));
  await show(ids);

  async function suggest() {
    const { batteries } = await ask(`/batteries?limit=20&search=${encodeURIComponent(wanted.value)}`);
    names.replaceChildren(...batteries.map((it) => el("option", { value: it.battery_id }, it.battery_group ?? "")));
  }

  async function group() {
    const id = wanted.value.trim() || ids.at(-1);
    if (!id) throw new Problem({ detail: "Name a battery first: its group is added.", status: 0 });
    const { battery_group: its } = await ask(batteryPath(id));
    if (!its) throw new Problem({ detail: `${id} is in no group.`, status: 0 });
    const { batteries } = await ask(`/batteries?limit=200&search=${encodeURIComponent(its)}`);
    return add([id, ...batteries.filter((it) => it.battery_group === its).map((it) => it.battery_id)]);
  }

  async function add(more) {
    await show([...ids, ...more]);
    wanted.value = "";
  }

  async function show(all) {
    const unique = [...new Set(all)];
    if (unique.length > MOST) announce(`The first ${MOST} are compared`);
    const next = unique.slice(0, MOST);
    const query = next.map((id) => `battery_id=${encodeURIComponent(id)}`).join("&");
    courses = next.length ? (await ask(`/compare?${query}`)).batteries : [];
    if (!place.isConnected) return;
    ids = next;
    state.set("of", ids.map(encodeURIComponent).join(","));
    const there = new Set(courses.map((it) => it.battery_id));
    const missing = ids.filter((id) => !there.has(id));
    said.replaceChildren([
      ids.length ? null : "Add batteries here, or tick them in the fleet.",
      missing.length ? `Not there, or without a measured state of health: ${missing.join(", ")}.` : null,
      unique.length > MOST ? `Of ${unique.length} batteries the first ${MOST} are shown.` : null,
    ].filter(Boolean).join(" "));
    chips.replaceChildren(...ids.map((id) => el("span", { class: "chip" }, el("a", { href: batteryView(id) }, id),
      el("button", { type: "button", "aria-label": `Remove ${id}`, onclick: doing(place, () => show(ids.filter((it) => it !== id))) }, "×"))));
    await draw();
  }

  async function draw() {
    plot.place.hidden = plot.legend.hidden = courses.length === 0;
    if (!courses.length) return;
    await chart(plot, `compare ${state.get("along")} ${state.get("shown")} ${courses.length}`, describe, { view: state });
  }

  function describe() {
    const [along, axis] = ALONG[state.get("along")] ?? ALONG.cycle;
    const [shown, label] = SHOWN[state.get("shown")] ?? SHOWN.soh;
    const groups = [...new Set(courses.map((it) => it.battery_group))];
    const traces = courses.map((it, k) => {
      const within = courses.slice(0, k).filter((other) => other.battery_group === it.battery_group).length;
      const points = it[shown].map((value, n) => ({ value, x: it[along][n], cycle: it.cycle_index[n] })).filter((point) => point.value != null && point.x != null);
      const ink = shade(groups.length > 1 ? groups.indexOf(it.battery_group) : k);
      return line(plain(it.battery_id), points.map((point) => point.x), points.map((point) => point.value),
        points.map((point) => `${label} ${percent(point.value)}, cycle ${point.cycle}`), {
          mode: points.length < 40 ? "lines+markers" : "lines", meta: { section: it.battery_group },
          line: { color: ink, width: 1.8, dash: DASHES[within % DASHES.length] }, marker: { size: 6, symbol: within % 24, color: ink },
        });
    });
    const empty = traces.filter((it) => !it.x.length).length;
    if (empty) announce(`${empty} batteries have no ${axis}`);
    return { traces, layout: {
      hovermode: "closest", margin: { l: 62 }, xaxis: { title: { text: axis }, ...(along === "started_at" ? { type: "date" } : { rangemode: "nonnegative" }) },
      yaxis: { title: { text: label }, tickformat: ".0%" },
    } };
  }

  function table() {
    return {
      head: ["battery_id", "battery_group", "cycle_index", "throughput_ah", "started_at", "soh", "capacity_retention"],
      rows: courses.flatMap((it) => it.cycle_index.map((cycle, n) => [it.battery_id, it.battery_group, cycle, it.throughput_ah[n], it.started_at[n], it.soh[n], it.capacity_retention[n]])),
    };
  }
}
