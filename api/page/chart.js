// A chart: drawn when its library is there, with a legend of buttons, by mouse, finger or keyboard.
import { announce, el, Problem, save, toCsv, words } from "./common.js";
import { preview } from "./preview.js";

const NARROW = 620; // pixels
const KEYS = "Arrow keys go from point to point, Enter chooses one, + and − zoom, Escape shows all.";

let plotly = null;
/** Load Plotly once, when the first chart is drawn: the fleet's table does without. */
function library() {
  plotly ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "/plotly/plotly.min.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { plotly = null; script.remove(); reject(new Problem({ detail: "The charts' script did not load: reload the page to try again." })); };
    document.head.append(script);
  });
  return plotly;
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The colours of several batteries or networks: told apart by the colour-blind too, with the dashes after them. */
export const shade = (k) => colour(`c${(k % 7) + 1}`);
export const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

export function tinted(name, alpha) {
  const [r, g, b] = (name.startsWith("#") ? name : colour(name)).match(/\w\w/g).map((part) => parseInt(part, 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

/** Text that Plotly shows as it stands: it reads a part of HTML in names and labels. */
export const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const read = (text) => String(text ?? "").replaceAll(/<br>/g, " ").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

/** A line; `text` has for each point what is said of it, with its unit. */
export const line = (name, x, y, text, rest) => ({ name, x, y, text, type: "scatter", mode: "lines", hovertemplate: "%{text}", ...rest });

/** The area between two lines, which is shown and hidden with the line of its group. */
export function band(group, x, low, high, shadeOf) {
  const edge = { mode: "lines", type: "scatter", x, line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: group };
  return [{ ...edge, y: high }, { ...edge, y: low, fill: "tonexty", fillcolor: tinted(shadeOf, 0.2) }];
}

const drawn = new Map();

/** An empty chart, and what belongs to it: put both where they are to stand. */
export function area(label, height = 320) {
  const place = el("div", { class: "chart", role: "group", tabindex: "0", "aria-label": label, "aria-roledescription": "chart" });
  place.style.height = `${height}px`;
  return { place, legend: el("div", { class: "legend", role: "group", "aria-label": `Lines of: ${label}` }), hint: el("p", { class: "hidden-text" }, KEYS) };
}

/**
 * Draw a chart; `describe()` gives its traces and layout, and is asked again when the colours change.
 * `view` may keep what is hidden and how far it is zoomed (get, set); `chosen` is told the point that
 * is clicked, or entered.
 */
export async function chart({ place, legend }, name, describe, { view, chosen } = {}) {
  if (!window.Plotly) place.replaceChildren(el("p", { class: "quiet" }, "Loading what draws the charts: 1.5 MB, once. Until then in outline:"), preview(describe()) ?? "");
  const Plotly = await library();
  if (!place.isConnected) return;
  if (!place.data) place.replaceChildren();
  const off = new Set((view?.get("off") ?? "").split("|").filter(Boolean));
  const zoomed = (view?.get("zoom") ?? "").split("~").map((it) => (it !== "" && Number.isFinite(Number(it)) ? Number(it) : it));
  let resets = 0;
  const draw = async () => {
    const { traces, layout } = describe();
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
    const full = {
      autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: resets, dragmode: place.clientWidth < NARROW ? false : "zoom",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12.5, color: colour("text") },
      hovermode: "x unified", showlegend: false,
      hoverlabel: { bgcolor: colour("surface"), bordercolor: colour("line"), font: { color: colour("text") } },
      ...layout,
      margin: { l: 58, r: 12, t: 10, b: 44, ...layout.margin },
    };
    for (const key of Object.keys(full).filter((it) => /^[xy]axis/.test(it))) full[key] = { ...axis, ...full[key] };
    for (const it of traces) it.visible = !off.has(it.legendgroup ?? it.name);
    await Plotly.react(place, traces, full, { responsive: true, displayModeBar: false, doubleClick: "reset" });
    legend.replaceChildren(...entries(traces, off, async (group) => {
      off.has(group) ? off.delete(group) : off.add(group);
      view?.set("off", [...off].join("|"));
      await draw();
      [...legend.children].find((it) => it.dataset.group === group)?.focus();
    }));
  };
  const first = !drawn.has(place);
  drawn.set(place, draw);
  place.dataset.drawn = "";
  await draw();
  place.dataset.drawn = name;
  if (!first) return;
  if (zoomed.length === 4) await Plotly.relayout(place, Object.fromEntries(["xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]"].map((key, k) => [key, zoomed[k]])));
  const zoom = (ends) => view?.set("zoom", ends.map((it) => (typeof it === "number" ? Number(it.toPrecision(6)) : it)).join("~"));
  place.on("plotly_relayout", (changed) => {
    if ("xaxis.range[0]" in changed || "yaxis.range[0]" in changed && !("xaxis.autorange" in changed)) zoom([...place.layout.xaxis.range, ...place.layout.yaxis.range]);
    else if ("xaxis.autorange" in changed) zoom([]);
  });
  if (chosen) place.on("plotly_click", ({ points }) => points.length && chosen(points));
  place.addEventListener("keydown", (event) => byKey(Plotly, place, event, chosen, () => { resets += 1; zoom([]); return draw(); }));
  fitted(place);
  place.on("plotly_afterplot", () => fitted(place));
}

/** Let a printer scale what was drawn for the screen. */
function fitted(place) {
  for (const svg of place.querySelectorAll("svg.main-svg")) svg.setAttribute("viewBox", `0 0 ${svg.getAttribute("width")} ${svg.getAttribute("height")}`);
}

function entries(traces, off, toggle) {
  const seen = new Map();
  for (const it of traces) if (it.showlegend !== false && it.name && !seen.has(it.legendgroup ?? it.name)) seen.set(it.legendgroup ?? it.name, it);
  if (seen.size < 2) return [];
  let heading = null;
  return [...seen].flatMap(([group, it]) => {
    const button = el("button", { type: "button", "aria-pressed": String(!off.has(group)), onclick: () => toggle(group) }, swatch(it), read(it.name));
    button.dataset.group = group;
    const title = it.meta?.section !== heading && it.meta?.section ? [el("span", { class: "quiet" }, it.meta.section)] : [];
    heading = it.meta?.section;
    return [...title, button];
  });
}

function swatch(it) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 10");
  svg.setAttribute("aria-hidden", "true");
  const dashes = { dash: "7 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4", longdashdot: "11 3 2 3" };
  const ink = it.mode === "markers" ? it.marker.color : it.line?.color;
  svg.innerHTML = it.mode === "markers" ? "<circle cx='13' cy='5' r='4'/>" : "<line x1='0' x2='26' y1='5' y2='5'/>";
  svg.firstChild.style.cssText = it.mode === "markers" ? `fill:${ink}` : `stroke:${ink};stroke-width:2.4;stroke-dasharray:${dashes[it.line?.dash] ?? "none"}`;
  return svg;
}

/** Go along the points of all lines that are shown, and say what is there. */
function byKey(Plotly, place, event, chosen, reset) {
  if (event.target !== place || event.ctrlKey || event.metaKey || event.altKey) return;
  const shown = place.data.map((it, curveNumber) => ({ ...it, curveNumber })).filter((it) => it.visible !== false && it.hoverinfo !== "skip" && it.x?.length);
  const places = [...new Set(shown.flatMap((it) => it.x))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const at = Number(place.dataset.at ?? -1);
  const last = places.length - 1;
  const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last, PageDown: at + 10, PageUp: at - 10 }[event.key];
  if (to !== undefined && places.length) {
    const k = Math.min(Math.max(to, 0), last);
    place.dataset.at = k;
    const points = there(shown, places[k]);
    Plotly.Fx.hover(place, points.map(({ curveNumber, pointNumber }) => ({ curveNumber, pointNumber })), [...new Set(points.map((it) => it.subplot))]);
    announce([`${read(place.layout.xaxis.title?.text)} ${places[k]}`, ...points.map((it) => `${read(it.data.name)}: ${read(it.text)}`)].join("; "));
  } else if (event.key === "Enter" && chosen && at >= 0) {
    chosen(there(shown, places[at]).map((it) => ({ ...it, x: places[at] })));
  } else if (["+", "-", "−"].includes(event.key)) {
    const [low, high] = place.layout.xaxis.range.map((it) => (typeof it === "number" ? it : +new Date(it)));
    const centre = at < 0 ? (low + high) / 2 : typeof places[at] === "number" ? places[at] : +new Date(places[at]);
    const half = ((high - low) / 2) * (event.key === "+" ? 0.6 : 1 / 0.6);
    const ends = [centre - half, centre + half].map((it) => (place.layout.xaxis.type === "date" ? new Date(it).toISOString() : it));
    Plotly.relayout(place, { "xaxis.range[0]": ends[0], "xaxis.range[1]": ends[1] });
  } else if (event.key === "Escape") {
    Plotly.Fx.unhover(place);
    reset();
  } else return;
  event.preventDefault();
}

function there(shown, x) {
  return shown.flatMap((it) => {
    const pointNumber = it.x.indexOf(x);
    return pointNumber < 0 || it.y[pointNumber] == null ? [] : [{
      curveNumber: it.curveNumber, pointNumber, customdata: it.customdata?.[pointNumber], data: it, subplot: `x${it.yaxis ?? "y"}`,
      text: Array.isArray(it.text) ? it.text[pointNumber] : `${it.y[pointNumber]}`,
    }];
  });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, draw] of drawn) place.isConnected ? draw() : drawn.delete(place);
});

/** Two buttons: what a chart shows as CSV, and as PNG. */
export function downloads(name, { place }, table) {
  const csv = () => {
    const { head, rows } = table();
    save(`${name}.csv`, toCsv(head, rows));
  };
  const png = async () => {
    if (!place.data) return;
    const Plotly = await library();
    const { width, height } = place.getBoundingClientRect();
    const layout = { ...place.layout, paper_bgcolor: colour("surface"), showlegend: true, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, margin: { ...place.layout.margin, t: 60 } };
    save(`${name}.png`, await Plotly.toImage({ data: place.data, layout }, { format: "png", width, height: height + 50, scale: 2 }));
  };
  return el("span", { class: "tools" },
    el("button", { type: "button", onclick: csv, "aria-label": `Download ${words(name)} as CSV` }, "CSV"),
    el("button", { type: "button", onclick: png, "aria-label": `Download ${words(name)} as PNG` }, "PNG"));
}

/** A card with a chart in it. */
export function card(title, chartOf, { tools = [], note = null, after = null } = {}) {
  return el("section", { class: "card", "aria-label": title },
    el("div", { class: "card-head" }, el("h2", {}, title), el("span", { class: "tools" }, tools)),
    note ? el("p", { class: "quiet" }, note) : null, chartOf.legend, chartOf.place, chartOf.hint, after);
}
