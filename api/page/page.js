// Chooses the view from the address: #/fleet, #/compare, #/battery/B0007, #/model, #/try; after ? stands its state.
import { announce, el, notice } from "./common.js";
import { fleet } from "./fleet.js";

const views = {
  fleet: async () => fleet,
  compare: async () => (await import("./compare.js")).compare,
  battery: async () => (await import("./battery.js")).battery,
  model: async () => (await import("./model.js")).model,
  try: async () => (await import("./try.js")).tryIt,
};
const main = document.getElementById("main");

async function show() {
  const [name, ...rest] = location.hash.split("?")[0].replace(/^#\/?/, "").split("/");
  const chosen = views[name] ? name : "fleet";
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${chosen === "battery" ? "fleet" : chosen}`;
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  const place = el("div", { "data-view": chosen });
  main.replaceChildren(place);
  main.setAttribute("aria-busy", "true");
  try {
    const view = await views[chosen]();
    await view(place, ...rest.map(decodeURIComponent));
    announce(document.title);
  } catch (error) {
    if (!place.isConnected) return; // the reader has gone on: what fails there is nobody's concern
    place.append(notice(error));
    if (!("status" in error)) console.error(error);
  } finally {
    if (place.isConnected) main.removeAttribute("aria-busy");
  }
}

window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  show();
  main.focus();
});
if (location.hash !== "#main") show();
