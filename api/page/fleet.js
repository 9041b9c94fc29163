// The fleet: every battery a row, sorted, filtered and paged by the service.
import { announce, ask, batteryView, between, doing, el, field, isByRetention, isOver, kept, measure, notice, percent, remaining, save, words } from "./common.js";

const ROWS = 50;
const MOST_ROWS = 200; // of a page that is asked for
const ALERTS = 5;
const BANDS = {
  "all": "",
  "80 % and above": "min_soh=0.8",
  "70 to 80 %": "min_soh=0.7&max_soh=0.8",
  "below 70 %": "max_soh=0.7",
};
const FLAGS = { "": "any", unlike_training: "unlike training", ended: "end of life", alert: "alert open", simulated: "simulated" };
const BY_FORECAST = "Sorted by the forecasts that python -m model.predict has kept of this model; whatever has none comes last";

export async function fleet(place) {
  document.title = "Fleet · Battery forecast";
  const state = kept({ search: "", band: "all", flag: "", sort: "battery_id", offset: "0", pick: "" });
  const picked = new Set(state.get("pick").split(",").filter(Boolean).map(decodeURIComponent));
  const body = el("tbody");
  const count = el("p", { class: "quiet" });
  const pager = el("div", { class: "tools" });
  const compare = el("a", { class: "button", hidden: true });
  const heads = [
    el("th", { scope: "col" }, el("span", { class: "hidden-text" }, "Compare")),
    sorter("Battery", "battery_id"), el("th", { scope: "col" }, "SOH over cycles"), sorter("Cycles", "cycles", "number"),
    sorter("Last SOH", "last_soh", "number"), el("th", { scope: "col", class: "number" }, "Retention"),
    sorter("Next cycle", "next_soh", "number", BY_FORECAST), sorter("Remaining cycles", "remaining", "number", BY_FORECAST),
    el("th", { scope: "col" }, "Flags"),
  ];

  function sorter(label, name, kind, title) {
    const choose = () => change({ sort: state.get("sort") === name ? `-${name}` : name });
    return el("th", { scope: "col", class: kind, "data-sort": name, title }, el("button", { type: "button", onclick: choose }, label));
  }

  function change(values) {
    for (const [name, value] of Object.entries({ offset: 0, ...values })) state.set(name, value);
    return load();
  }

  function query() {
    const asked = new URLSearchParams(BANDS[state.get("band")] ?? "");
    for (const name of ["sort", "search", "flag"]) if (state.get(name)) asked.set(name, state.get(name));
    return asked;
  }

  let latest = 0;
  let total = 0;
  async function load() {
    const mine = ++latest;
    const offset = Number(state.get("offset"));
    let page;
    try {
      page = await ask(`/batteries?${query()}&limit=${ROWS}&offset=${offset}`);
    } catch (error) {
      if (mine === latest && place.isConnected) { body.replaceChildren(); count.replaceChildren(notice(error)); }
      return;
    }
    if (mine !== latest || !place.isConnected) return;
    body.replaceChildren(...page.batteries.map((it) => row(it, page.horizon, picker(it.battery_id))));
    const sort = state.get("sort");
    for (const head of heads.filter((it) => it.dataset.sort)) {
      const name = head.dataset.sort;
      const order = { [name]: "ascending", [`-${name}`]: "descending" }[sort];
      order ? head.setAttribute("aria-sort", order) : head.removeAttribute("aria-sort");
    }
    total = page.total;
    const last = offset + page.batteries.length;
    const shown = page.total ? `${offset + 1} to ${last} of ${page.total} batteries` : "No battery matches.";
    const byForecast = /next_soh|remaining/.test(sort) && page.total
      ? `. Sorted by the forecasts that python -m model.predict has kept of this model${page.kept < page.total ? `: ${page.kept} of ${page.total} have one, the others come last` : ""}.` : "";
    count.textContent = (page.model_version ? shown : `${shown} There is no model yet: train one with python -m model.train.`) + byForecast;
    announce(shown);
    pager.replaceChildren(
      compare,
      el("button", { type: "button", onclick: doing(place, exported), "aria-label": "Download the fleet as CSV", title: "All that match, not this page alone" }, "CSV"));
    if (page.total > ROWS) pager.append(
      el("button", { type: "button", disabled: offset === 0, onclick: () => change({ offset: Math.max(0, offset - ROWS) }) }, "← Previous"),
      el("button", { type: "button", disabled: last >= page.total, onclick: () => change({ offset: offset + ROWS }) }, "Next →"));
    document.getElementById("version").textContent = page.model_version ? `Model ${page.model_version}.` : "";
    choices();
  }

  function picker(id) {
    return el("input", { type: "checkbox", checked: picked.has(id), "aria-label": `Compare ${id}`, onchange: (event) => {
      event.target.checked ? picked.add(id) : picked.delete(id);
      state.set("pick", [...picked].map(encodeURIComponent).join(","));
      choices();
    } });
  }

  function choices() {
    compare.hidden = picked.size === 0;
    compare.textContent = `Compare ${picked.size}`;
    compare.href = `#/compare?${new URLSearchParams({ of: [...picked].map(encodeURIComponent).join(",") })}`;
  }

  async function exported() {
    count.textContent = "Collecting the whole fleet …";
    const pages = [];
    for (let offset = 0; offset === 0 || offset < total; offset += MOST_ROWS) {
      const text = await ask(`/batteries?${query()}&limit=${MOST_ROWS}&offset=${offset}`, undefined, "text/csv");
      pages.push(offset ? text.slice(text.indexOf("\n") + 1) : text);
    }
    save("fleet.csv", new Blob(pages, { type: "text/csv" }));
    await load();
  }

  let typing;
  const options = (names, chosen) => Object.entries(names).map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const filters = el("form", { class: "tools", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Search", el("input", { id: "search", type: "search", placeholder: "battery or group", value: state.get("search"), oninput: (event) => {
      clearTimeout(typing);
      typing = setTimeout(() => change({ search: event.target.value }), 150);
    } })),
    field("Last SOH", el("select", { id: "band", onchange: (event) => change({ band: event.target.value }) },
      options(Object.fromEntries(Object.keys(BANDS).map((it) => [it, it])), state.get("band")))),
    field("Flag", el("select", { id: "flag", title: "Unlike training: of the forecasts that python -m model.predict has kept", onchange: (event) => change({ flag: event.target.value }) },
      options(FLAGS, state.get("flag")))));

  const alerts = el("section", { class: "card", "aria-labelledby": "alerts", hidden: true });
  place.append(
    el("h1", {}, "Fleet"), count, alerts,
    el("section", { class: "card", "aria-label": "Batteries" },
      el("div", { class: "card-head" }, filters, pager),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of batteries" },
        el("table", { class: "fleet" }, el("thead", {}, el("tr", {}, heads)), body))));
  await Promise.all([load(), open(alerts, ALERTS)]);
}

/** Show the open alerts, the newest first; nothing where there are none. */
async function open(place, limit) {
  let page;
  try {
    page = await ask(`/alerts?limit=${limit}`);
  } catch {
    return; // the table of batteries says what is wrong
  }
  const all = el("button", { type: "button", onclick: () => open(place, 1000) }, `Show all ${page.total}`);
  place.replaceChildren(
    el("div", { class: "card-head" }, el("h2", { id: "alerts" }, `Open alerts: ${page.total}`), page.total > page.alerts.length && limit === ALERTS ? all : null),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of alerts" },
      el("table", { class: "fleet" },
        el("thead", {}, el("tr", {}, ["Battery", "Alert", "Since"].map((it) => el("th", { scope: "col" }, it)), el("th", { scope: "col", class: "number" }, "Value"))),
        el("tbody", {}, page.alerts.map(alert)))));
  place.hidden = page.total === 0;
}

function alert(it) {
  const amount = (value) => (["share", "SOH"].includes(it.unit) ? percent(value) : `${Number(value.toFixed(1))} ${it.unit}`);
  return el("tr", { "data-alert": it.kind },
    el("td", {}, el("a", { href: batteryView(it.battery_id) }, it.battery_id)),
    el("td", {}, el("span", { class: "flag warn" }, words(it.kind)), el("small", {}, it.description)),
    el("td", { "data-label": "Since" }, new Date(it.since).toLocaleString()),
    el("td", { class: "number", "data-label": "Value" }, amount(it.value), el("small", {}, `limit ${amount(it.threshold)}`)));
}

function row(it, horizon, picker) {
  const next = it.next_cycle;
  const [cycles, range] = remaining(it.end_of_life, horizon);
  const left = isOver(it) ? ["0", `since cycle ${it.end_of_life_cycle}, by ${measure(it)}`]
    : it.end_of_life ? [cycles, range] : ["–", ""];
  return el("tr", { "data-battery": it.battery_id },
    el("td", { class: "pick" }, picker),
    el("td", {}, el("a", { href: batteryView(it.battery_id) }, it.battery_id), el("small", {}, it.battery_group ?? it.layout)),
    el("td", { class: "wide" }, sparkline(it.sparkline)),
    el("td", { class: "number", "data-label": "Cycles" }, String(it.cycles)),
    el("td", { class: "number", "data-label": "Last SOH" }, percent(it.last_soh)),
    el("td", { class: "number", "data-label": "Retention" }, percent(it.last_retention)),
    el("td", { class: "number", "data-label": "Next cycle", title: next ? `by ${next.features}: ${next.reason}` : null }, next ? percent(next.predicted_soh) : "–", next ? el("small", {}, between(next.soh_low, next.soh_high)) : null),
    el("td", { class: "number", "data-label": "Remaining cycles" }, left[0], left[1] ? el("small", {}, left[1]) : null),
    el("td", { class: "wide" }, flags(it)));
}

function flags(it) {
  const made = [];
  const add = (kind, text, title) => made.push(el("span", { class: `flag ${kind}`, title }, text));
  if (it.is_simulated) add("", "simulated", "Not measured");
  if (isOver(it)) add("bad", "end of life", `Below 70 % by ${measure(it)}`);
  else if (it.end_of_life?.cycles_low != null && it.end_of_life.cycles_low <= 50) add("warn", "ends within 50 cycles?", "The early end of the interval is within 50 cycles");
  else if (it.last_soh != null && it.last_soh >= 0.8) add("good", "healthy", "Last SOH is 80 % or more");
  if (!isOver(it) && isByRetention(it)) add("", "by retention", "Its first capacities under this load and temperature were below 70 % of the rated one: what it retains of them tells its age");
  if (it.rated_capacity_ah == null) add("", "not rated", "Without a rated capacity there is no state of health: load it again with --rated-capacity-ah");
  else if (!it.next_cycle) add("", "no forecast", "Too few cycles for the model's window, a feature that it lacks, or no model");
  if (it.is_unlike_training) add("warn", "unlike training", it.unlike_training.map(words).join(", "));
  for (const kind of it.alerts) add("warn", `alert: ${words(kind)}`, "An open alert");
  if (it.discharges > it.cycles) add("", `${it.discharges - it.cycles} left out`, "Recorded discharges that are no usable cycles");
  return made;
}

function sparkline(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", "0 0 150 40");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  if (!values.length) {
    svg.setAttribute("aria-label", "no cycle with a measured SOH");
    return svg;
  }
  const [first, last] = [values[0], values.at(-1)];
  svg.setAttribute("aria-label", `SOH from ${percent(first)} to ${percent(last)}`);
  const x = (k) => (values.length > 1 ? (k * 146) / (values.length - 1) + 1 : 75).toFixed(1);
  // one scale for every row, so that rows compare
  const y = (soh) => (38 - (36 * Math.min(Math.max(soh, 0), 1.05)) / 1.05).toFixed(1);
  svg.innerHTML = `<line x1="0" x2="150" y1="${y(0.7)}" y2="${y(0.7)}"/>`
    + `<polyline points="${values.map((soh, k) => `${x(k)},${y(soh)}`).join(" ")}"/>`
    + `<circle cx="${x(values.length - 1)}" cy="${y(last)}" r="2.2"/>`;
  return svg;
}
