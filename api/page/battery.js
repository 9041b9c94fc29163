// One battery: what is known and forecast of it, its charts, and the discharge that is chosen there.
import { area, card, chart, downloads } from "./chart.js";
import { all, ask, batteryPath, between, doing, el, fact, field, isByRetention, isOver, kept, measure, percent, remaining, verdict, words } from "./common.js";
import { discharges } from "./discharges.js";
import { hasResistance, left, lifeChart, lifeTable, resistanceChart, resistanceTable } from "./life.js";

const HORIZONS = ["50", "100", "200", "500"];
const PAGE = 5000;

export async function battery(place, id) {
  document.title = `${id} · Battery forecast`;
  const state = kept({ horizon: "100", cycle: "", discharge: "", off: "", zoom: "" });
  const path = batteryPath(id);
  // too few cycles, or no model: what was measured is shown all the same
  const orNothing = (asked) => asked.catch((error) => ({ problem: error.message }));
  const [summary, recorded, steps, { alerts }] = await Promise.all([
    ask(path), all(`${path}/cycles`, "cycles", PAGE), orNothing(ask(`${path}/predictions`)),
    ask(`/alerts?battery_id=${encodeURIComponent(id)}`).catch(() => ({ alerts: [] }))]);
  const isNext = steps.predictions?.at(-1)?.cycle_index > summary.cycles;
  const next = isNext ? await orNothing(ask(`${path}/prediction`)) : { problem: steps.problem ?? "too few cycles, or without a feature or a rating" };
  if (!place.isConnected) return;
  const learned = steps.learned_by?.length
    ? el("p", { class: "quiet", "data-learned": "" }, `In training: ${steps.learned_by.join(", ")} learned from this battery. That it is predicted well tells nothing of others.`) : null;
  const it = {
    id, summary, recorded, one: steps.predictions ?? [], ahead: null,
    kept: recorded.filter((each) => each.is_usable), out: recorded.filter((each) => !each.is_usable),
  };
  it.known = it.kept.filter((each) => each.soh != null);

  const lifeArea = area(`SOH and features of ${id} over cycles`, 720);
  const resistances = area(`Resistance of ${id} over cycles`);
  const horizon = el("select", { id: "horizon" }, HORIZONS.map((each) => el("option", { selected: each === state.get("horizon") }, each)));
  const facts = el("dl", { class: "facts" });
  const said = el("div");
  const chosen = discharges(place, it, path, state);

  place.append(
    el("p", {}, el("a", { href: "#/fleet" }, "← Fleet"), " · ", el("a", { href: `#/compare?${new URLSearchParams({ of: encodeURIComponent(id) })}` }, "Compare with others")),
    el("h1", {}, id),
    el("p", { class: "quiet" }, [summary.battery_group, summary.ambient && `ambient ${summary.ambient}`, summary.load && `load ${summary.load}`,
      summary.rated_capacity_ah ? `rated ${summary.rated_capacity_ah} Ah` : "not rated: no state of health"].filter(Boolean).join(" · ")),
    ...alerts.map((each) => el("p", { class: "notice", "data-alert": each.kind }, el("strong", {}, words(each.kind)), ` since ${new Date(each.since).toLocaleString()}: ${each.description}`)),
    facts, said,
    card("State of health and features", lifeArea, {
      tools: [field("Cycles ahead", horizon), downloads(`${id}_soh`, lifeArea, () => lifeTable(it))],
      note: "Drag to zoom, double-click to see all. A click on a point shows its discharge below.", after: left(it),
    }),
    hasResistance(it) && card("Resistance", resistances, {
      tools: downloads(`${id}_resistance`, resistances, () => resistanceTable(it)),
      note: "Ohmic: step in voltage ÷ step in current at load-on. Internal and charge transfer: the nearest plausible impedance test before.",
    }) || "",
    ...chosen.cards);

  horizon.addEventListener("change", doing(place, async () => {
    state.set("horizon", horizon.value);
    await foretell();
    await drawLife();
  }));
  await foretell();
  const pick = doing(place, chosen.pick);
  await Promise.all([
    drawLife(),
    hasResistance(it) ? chart(resistances, "resistance", () => resistanceChart(it), { chosen: pick }) : null,
    chosen.start(),
  ]);

  function drawLife() {
    return chart(lifeArea, "life", () => lifeChart(it), { view: state, chosen: pick });
  }

  async function foretell() {
    const asked = HORIZONS.includes(state.get("horizon")) ? state.get("horizon") : "100";
    const ahead = it.known.length ? await orNothing(ask(`${path}/forecast?horizon=${asked}`)) : { problem: "no measured SOH" };
    it.ahead = ahead;
    const [cycles, range] = remaining(ahead.end_of_life, asked);
    said.replaceChildren(verdict(ahead) ?? "", learned ?? "");
    facts.replaceChildren(
      fact("Cycles", String(summary.cycles), summary.discharges > summary.cycles ? `${summary.discharges - summary.cycles} left out` : "all recorded ones"),
      fact("Last SOH", percent(summary.last_soh), `first ${percent(summary.first_soh)}`),
      fact("Retention", percent(summary.last_retention), "of its own first capacities at this load and temperature"),
      next.problem ? fact("Next cycle", "–", next.problem)
        : fact("Next cycle", percent(next.predicted_soh), `${between(next.soh_low, next.soh_high)} · ${next.predicted_capacity_ah.toFixed(2)} Ah, by ${next.features}: ${next.reason.replaceAll("_", " ")}`),
      isOver(summary) ? fact("Remaining cycles", "0", `below 70 % by ${measure(summary)} since cycle ${summary.end_of_life_cycle}`)
        : ahead.problem ? fact("Remaining cycles", "–", ahead.problem)
          : fact("Remaining cycles", cycles, [ahead.is_reached ? `${range}, at 90 %` : range || `not within ${asked}`,
            isByRetention(summary) && `until ${percent(ahead.end_of_life.soh)}, 70 % of its first capacities here`].filter(Boolean).join("; ")));
  }
}
