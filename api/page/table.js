// A table of cycles as text: what separates its cells, and which of its columns are features.
import { Problem } from "./common.js";

const RENAMED = { soh: "soh_target" }; // as the page's own tables call it
const NOTHING = new Set(["", "null", "none", "nan", "\\n"]);
const refuse = (detail) => { throw new Problem({ detail, status: 0 }); };

/** Read cycles from a table with a line of names; `known` are the features. Unknown columns are named in `unused`. */
export function cyclesOf(text, known) {
  const separator = separatorOf(text.replace(/^\uFEFF/, "").split(/\r?\n/).find((line) => line.trim()) ?? "");
  const [head, ...lines] = cells(text.replace(/^\uFEFF/, ""), separator);
  if (!head || !lines.length) refuse("There are no cycles: give a JSON list, or a table with a line of names and one line per cycle.");
  const names = head.map((it) => it.trim());
  lines.forEach((line, k) => {
    if (line.length !== names.length) refuse(`Line ${k + 2} has ${line.length} values, the first line names ${names.length}.`);
  });
  const isComma = separator !== "," && lines.some((line) => line.some((it) => /^-?\d+,\d+([eE][-+]?\d+)?$/.test(it.trim())));
  const objects = lines.map((line) => Object.fromEntries(names.map((name, n) => [name, value(line[n].trim(), isComma)])));
  // the page's own table has forecasts and discharges that were left out, too
  const measured = objects.filter((it) => it.kind === undefined || it.kind === "measured");
  const unused = new Set();
  const cycles = measured.map((it) => {
    const { features, ...others } = it;
    const cycle = { ...(typeof features === "string" && features.startsWith("{") ? parsed(features) : features === undefined ? {} : { features }) };
    for (const [name, given] of Object.entries(others)) cycle[RENAMED[name] ?? name] = given;
    return Object.fromEntries(Object.entries(cycle).filter(([name]) => known.includes(name) || void unused.add(name)));
  });
  if (cycles.every((it) => !Object.keys(it).length)) refuse(`No column names a feature: there are ${names.join(", ")}.`);
  return { cycles, unused: [...unused] };
}

function separatorOf(line) {
  const bare = line.replace(/"[^"]*"/g, "");
  const count = (it) => bare.split(it).length;
  return ["\t", ";", "|", ","].reduce((best, it) => (count(it) > count(best) ? it : best), ",");
}

/** Split text into lines of cells; a quoted cell may hold separators, line breaks and doubled quotes. */
function cells(text, separator) {
  const lines = [];
  let line = [];
  let cell = "";
  let isQuoted = false;
  const end = () => { line.push(cell); cell = ""; };
  const endLine = () => {
    end();
    if (line.length > 1 || line[0].trim()) lines.push(line);
    line = [];
  };
  for (let k = 0; k < text.length; k += 1) {
    const it = text[k];
    if (isQuoted && it === '"' && text[k + 1] === '"') { cell += '"'; k += 1; }
    else if (it === '"' && (isQuoted || !cell.trim())) { isQuoted = !isQuoted; if (isQuoted) cell = ""; }
    else if (isQuoted) cell += it;
    else if (it === separator) end();
    else if (it === "\n") endLine();
    else if (it !== "\r") cell += it;
  }
  endLine();
  return lines;
}

/** A number where it is one; what is none is sent as it stands: the service says which cycle and field it is. */
function value(cell, isComma) {
  if (NOTHING.has(cell.toLowerCase())) return null;
  const number = Number(isComma ? cell.replace(",", ".") : cell);
  return Number.isNaN(number) ? cell : number;
}

function parsed(features) {
  try {
    return JSON.parse(features);
  } catch {
    return refuse("The column features is not the JSON that cycle_series has.");
  }
}
