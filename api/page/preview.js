// The lines of a chart as a plain drawing, while what draws the chart itself is on its way.
import { el } from "./common.js";

const [WIDTH, HEIGHT] = [1000, 300];

/** Draw the lines on the first axes; nothing where they have no numbers. */
export function preview({ traces, layout }) {
  const lines = traces.filter((it) => it.hoverinfo !== "skip" && it.mode !== "markers" && (it.yaxis ?? "y") === "y");
  const place = (it) => (typeof it === "number" ? it : Date.parse(it));
  const points = lines.map((it) => it.x.map((x, k) => [place(x), it.y[k]]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)));
  const [xs, ys] = [0, 1].map((axis) => points.flat().map((it) => it[axis]));
  if (!xs.length) return null;
  const ends = (values) => values.reduce(([low, high], it) => [Math.min(low, it), Math.max(high, it)], [Infinity, -Infinity]);
  const [[x0, x1], [y0, y1]] = [ends(xs), ends(ys)];
  const at = ([x, y]) => `${((WIDTH * (x - x0)) / (x1 - x0 || 1)).toFixed(1)},${(HEIGHT - (HEIGHT * (y - y0)) / (y1 - y0 || 1)).toFixed(1)}`;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [k, it] of lines.entries()) {
    const drawn = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    drawn.setAttribute("points", points[k].map(at).join(" "));
    drawn.style.cssText = `fill:none;stroke-width:1.6;vector-effect:non-scaling-stroke;stroke:${it.line?.color ?? "currentColor"}`;
    svg.append(drawn);
  }
  const isShare = layout.yaxis.tickformat === ".0%";
  const said = (value) => (isShare ? `${(100 * value).toFixed(0)} %` : Number(value.toPrecision(3)));
  const label = (axis) => axis.title?.text ?? "";
  const isDate = layout.xaxis.type === "date";
  return el("div", { class: "preview" }, svg, el("p", { class: "quiet" },
    `${label(layout.yaxis)} ${said(y0)} to ${said(y1)}, ${label(layout.xaxis)} ${isDate ? `${new Date(x0).getFullYear()} to ${new Date(x1).getFullYear()}` : `${Math.round(x0)} to ${Math.round(x1)}`}.`));
}
