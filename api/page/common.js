// What every view uses: the service's answers, the address, elements, numbers in words, downloads.

const KEY = "battery-forecast-key";

export class Problem extends Error {
  constructor(problem) {
    super(problem.detail);
    this.errors = problem.errors ?? [];
    this.status = problem.status;
  }
}

const JSON_TYPE = "application/json";

/** Ask the service, for text where that is no JSON; throws a Problem with what it says is wrong. */
export async function ask(path, body, type = JSON_TYPE) {
  const headers = { Accept: type };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  if (typeof body === "string") headers["Content-Type"] = JSON_TYPE;
  let answer;
  try {
    answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body });
  } catch {
    throw new Problem({ detail: "The service does not answer. Is it running?", status: 0 });
  }
  if (answer.status === 401) {
    await askForKey(key);
    return ask(path, body, type);
  }
  if (answer.ok && type !== JSON_TYPE) return answer.text();
  const said = await answer.json().catch(() => ({ detail: `The service answered ${answer.status}.` }));
  if (!answer.ok) throw new Problem({ status: answer.status, ...said });
  if ("is_simulated" in said) document.getElementById("simulated").hidden = !said.is_simulated;
  return said;
}

/** All rows of a list that the service gives in pages. */
export async function all(path, name, limit) {
  const rows = [];
  for (;;) {
    const page = await ask(`${path}${path.includes("?") ? "&" : "?"}limit=${limit}&offset=${rows.length}`);
    rows.push(...page[name]);
    if (!page[name].length || rows.length >= page.total) return rows;
  }
}

export const batteryPath = (id) => `/batteries/${encodeURIComponent(id)}`;
export const batteryView = (id) => `#/battery/${encodeURIComponent(id)}`;

/**
 * What of a view stands in its address, as in #/fleet?sort=-cycles, so that a link shows the same.
 * What is as by default is left out of it.
 */
export function kept(defaults) {
  const [path, query = ""] = (location.hash || "#/fleet").split("?");
  const given = new URLSearchParams(query);
  const now = Object.fromEntries(Object.entries(defaults).map(([name, it]) => [name, given.get(name) ?? it]));
  return {
    get: (name) => now[name],
    set: (name, value) => {
      now[name] = String(value);
      const other = Object.entries(now).filter(([key, it]) => it !== defaults[key]);
      const rest = other.length ? `?${new URLSearchParams(other)}` : "";
      if (location.hash.split("?")[0] === path || !location.hash) history.replaceState(null, "", path + rest);
    },
  };
}

/** What a button or field does; if it fails, and the reader is still there, it is said on top of the view. */
export const doing = (place, work) => async (...given) => {
  for (const old of place.querySelectorAll(":scope > .notice.bad")) old.remove();
  try {
    await work(...given);
  } catch (error) {
    if (!place.isConnected) return;
    place.prepend(notice(error));
    if (!("status" in error)) console.error(error);
  }
};

let asking = null;
function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    document.getElementById("key-refused").hidden = !refused;
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
  made.append(...children.flat(2).filter((child) => child != null));
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

const SHOWN = 5; // of the faults of what was sent

export function notice(error) {
  const faults = (error.errors ?? []).filter((it) => it.field || it.cycle);
  return el("div", { class: "notice bad", role: "alert" }, el("h2", {}, "That did not work"),
    el("p", {}, error.message),
    faults.length > 1 && el("ul", {}, faults.slice(0, SHOWN).map((it) => el("li", {},
      [it.cycle && `cycle ${it.cycle}`, it.field].filter(Boolean).join(", ") + `: ${it.detail}`))) || null);
}

export const fact = (name, value, note) => el("div", {}, el("dt", {}, name), el("dd", {}, value, note ? el("small", {}, note) : null));

/** A label and what it names, which stay together where a line is broken. */
export const field = (label, control) => el("span", { class: "field" }, el("label", { for: control.id }, label), control);

/** CSV whose every row is as long as its head. */
export function toCsv(head, rows) {
  const cell = (it) => (it == null ? "" : /[",;\n\r]/.test(it) ? `"${String(it).replaceAll('"', '""')}"` : it);
  const text = [head, ...rows.map((row) => head.map((_, k) => row[k]))].map((row) => row.map(cell).join(",")).join("\n");
  return new Blob([text + "\n"], { type: "text/csv" });
}

/** Save a file under a name: a Blob, or what a data: address holds. */
export function save(name, what) {
  const url = what instanceof Blob ? URL.createObjectURL(what) : what;
  el("a", { href: url, download: name }).click();
  if (what instanceof Blob) setTimeout(() => URL.revokeObjectURL(url), 1000);
}
