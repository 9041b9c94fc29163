// What every view uses: the service's answers, elements, numbers in words, charts, downloads.

const KEY = "battery-forecast-key";

export class Problem extends Error {
  constructor(problem) {
    super(problem.detail);
    this.errors = problem.errors ?? [];
    this.status = problem.status;
  }
}

/** Ask the service; throws a Problem with what it says is wrong. */
export async function ask(path, body) {
  const headers = { Accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body });
  } catch {
    throw new Problem({ detail: "The service does not answer. Is it running?", status: 0 });
  }
  if (answer.status === 401) {
    await askForKey();
    return ask(path, body);
  }
  const said = await answer.json().catch(() => ({ detail: `The service answered ${answer.status}.` }));
  if (!answer.ok) throw new Problem({ status: answer.status, ...said });
  if ("is_simulated" in said) document.getElementById("simulated").hidden = !said.is_simulated;
  return said;
}

let asking = null;
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, document.getElementById("key-value").value);
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Make an element: el("p", { class: "quiet" }, "text", child, …). Text is never read as HTML. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value != null) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

export const percent = (soh, digits = 1) => (soh == null ? "–" : `${(100 * soh).toFixed(digits)} %`);
export const between = (low, high) => (low == null ? "" : `${(100 * low).toFixed(1)} – ${(100 * high).toFixed(1)} %`);
export const announce = (text) => { document.getElementById("status").textContent = text; };
export const words = (name) => name.replaceAll("_", " ");

/** One verdict on all that is forecast of a battery; nothing where it is like the training cells. */
export function verdict(it) {
  if (!it.is_unlike_training) return null;
  return el("p", { class: "notice", "data-verdict": "unlike" },
    `Unlike anything in training: ${it.unlike_training.map(words).join(", ")}. No forecast of it has been tested; intervals may cover less than 90 %.`);
}

export function remaining(end, horizon) {
  if (!end || end.cycles == null) return [`> ${horizon}`, end?.cycles_low != null ? `at the earliest ${end.cycles_low}` : ""];
  const days = end.days == null ? "" : `about ${end.days < 10 ? end.days.toFixed(1) : Math.round(end.days)} days · `;
  return [`${end.cycles}`, `${days}${end.cycles_low ?? end.cycles} – ${end.cycles_high ?? `over ${horizon}`}`];
}

/** Whether a battery is at its end of life, by the measure that decided: capacity may have come back since. */
export const isOver = (it) => it.end_of_life_cycle != null && (it.end_of_life_measure === "soh" ? it.last_soh : it.last_retention) < 0.7;

export const measure = (it) => (it.end_of_life_measure === "soh" ? "SOH" : "retention");

/** Whether its first capacities at its last load and temperature were below 70 % of the rated one: retention then tells its age. */
export const isByRetention = (it) => it.last_retention != null && !(it.last_soh >= 0.7 * it.last_retention);

export function notice(error) {
  const faults = (error.errors ?? []).filter((it) => it.field || it.cycle);
  return el("div", { class: "notice bad", role: "alert" }, el("h2", {}, "That did not work"),
    el("p", {}, error.message),
    faults.length > 0 && el("ul", {}, faults.map((it) => el("li", {},
      [it.cycle && `cycle ${it.cycle}`, it.field].filter(Boolean).join(", ") + `: ${it.detail}`))) || null);
}

let plotly = null;
/** Load Plotly once, when the first chart is drawn: the fleet's table does without. */
function library() {
  plotly ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "/plotly/plotly.min.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Problem({ detail: "The charts' script did not load." }));
    document.head.append(script);
  });
  return plotly;
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function tinted(name, alpha) {
  const [r, g, b] = colour(name).match(/\w\w/g).map((part) => parseInt(part, 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

const drawn = new Map();

/** Draw a chart; `describe()` gives its traces and layout, and is asked again when the colours change. */
export async function chart(place, name, describe) {
  const Plotly = await library();
  if (!place.isConnected) return;
  const draw = () => {
    const { traces, layout } = describe();
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
    const full = {
      autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("text") },
      margin: { l: 52, r: 12, t: 10, b: 40 }, hovermode: "x unified",
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
      ...layout,
    };
    for (const key of Object.keys(full).filter((it) => /^[xy]axis/.test(it))) full[key] = { ...axis, ...full[key] };
    return Plotly.react(place, traces, full, { responsive: true, displayModeBar: false });
  };
  await draw();
  place.setAttribute("role", "img");
  place.dataset.drawn = name;
  drawn.set(place, draw);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, draw] of drawn) place.isConnected ? draw() : drawn.delete(place);
});

function save(name, url) {
  el("a", { href: url, download: name }).click();
}

/** Two buttons under a chart: what it shows as CSV, and as PNG. */
export function downloads(name, place, table) {
  const csv = () => {
    const { head, rows } = table();
    const cell = (it) => (it == null ? "" : /[",\n]/.test(it) ? `"${String(it).replaceAll('"', '""')}"` : it);
    const text = [head, ...rows].map((row) => row.map(cell).join(",")).join("\n");
    const url = URL.createObjectURL(new Blob([text + "\n"], { type: "text/csv" }));
    save(`${name}.csv`, url);
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const png = async () => {
    const Plotly = await library();
    const { width, height } = place.getBoundingClientRect();
    const there = place.layout.paper_bgcolor;
    await Plotly.relayout(place, { paper_bgcolor: colour("surface") });
    save(`${name}.png`, await Plotly.toImage(place, { format: "png", width, height, scale: 2 }));
    await Plotly.relayout(place, { paper_bgcolor: there });
  };
  return el("span", { class: "tools" },
    el("button", { type: "button", onclick: csv, "aria-label": `Download ${words(name)} as CSV` }, "CSV"),
    el("button", { type: "button", onclick: png, "aria-label": `Download ${words(name)} as PNG` }, "PNG"));
}
