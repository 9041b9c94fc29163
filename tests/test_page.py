"""The page in a real browser: it draws, is operated, can be read by all, and asks nobody else.

Its pictures are left in artifacts/page/ for a person to look at.
"""

import csv
import io
import json
import shutil
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from api.schemas import EXAMPLE_CYCLE, EXAMPLE_WINDOW
from tests.conftest import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
PICTURES = ROOT / "artifacts" / "page"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWS = {
    "fleet": ("#/fleet", "tr[data-battery=S0003]"),
    "battery": ("#/battery/S0003", "[data-drawn='slopes 60']"),
    "compare": ("#/compare?of=S0001,S0003,SRW1", "[data-drawn^=compare]"),
    "model": ("#/model", "[data-drawn=calibration]"),
    "try": ("#/try", "#cycles"),
}
LIFE = "document.querySelector('[data-drawn=life]')"
SCREENS = {
    "light": ("light", 1360, 900),
    "dark": ("dark", 1360, 900),
    "phone": ("light", 390, 844),
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    """A page on which any console error and any request to elsewhere fails the test."""
    with browser.new_context(base_url=service, viewport={"width": 1360, "height": 900}) as context:
        faults: list[str] = []
        opened = context.new_page()
        opened.on("console", lambda it: faults.append(it.text) if it.type == "error" else None)
        opened.on("pageerror", lambda it: faults.append(str(it)))
        opened.on(
            "request",
            lambda it: (
                None if it.url.startswith((service, "data:", "blob:")) else faults.append(it.url)
            ),
        )
        yield opened
        assert faults == []


def test_simulated_cells_are_called_so_on_every_view(page: Page) -> None:
    for address, drawn in VIEWS.values():
        page.goto(f"/{address}")
        expect(page.locator(drawn)).to_be_visible(timeout=15_000)
        if "try" not in address:
            expect(page.locator("#simulated")).to_contain_text("SIMULATED cells, not measurements")
            expect(page.locator("#simulated")).to_be_visible()


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_draws_fits_and_can_be_read_by_all(page: Page, view: str, screen: str) -> None:
    scheme, width, height = SCREENS[screen]
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": height})
    address, drawn = VIEWS[view]
    page.goto(f"/{address}")
    page.wait_for_selector(drawn)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{view}_{screen}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [it["id"] for it in found if it["impact"] in ("serious", "critical")] == []


def test_the_fleet_is_sorted_filtered_and_opened_by_keyboard(page: Page) -> None:
    page.goto("/")
    ids = page.locator("tr[data-battery] td a")
    expect(ids).to_have_text(["S0001", "S0002", "S0003", "S0004", "SRW1"])
    expect(page.locator("tr[data-battery=S0003] .spark polyline")).to_be_visible()
    head = page.get_by_role("button", name="Battery")
    head.focus()
    page.keyboard.press("Enter")
    expect(ids).to_have_text(["SRW1", "S0004", "S0003", "S0002", "S0001"])
    expect(page.locator("th[data-sort=battery_id]")).to_have_attribute("aria-sort", "descending")
    page.get_by_label("Search").fill("s0002")
    expect(ids).to_have_text(["S0002"])
    ids.first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("S0002")


def test_open_alerts_stand_on_top_of_the_fleet(page: Page) -> None:
    page.goto("/")
    alerts = page.get_by_role("region", name="Open alerts: 2").locator("tbody tr")
    expect(alerts).to_have_count(2)
    for said in ("S0003", "end of life near", "3/2/2026", "34 cycles", "limit 50 cycles"):
        expect(alerts.first).to_contain_text(said)
    expect(alerts.last).to_contain_text("60.0 %")
    alerts.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("S0003")


def test_a_battery_shows_all_it_has(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    names = page.evaluate("document.querySelector('[data-drawn=life]').data.map(it => it.name)")
    assert {"measured", "forecast, with its 90 % interval"} <= set(names)
    assert "predicted, one step, with its 90 % interval" in names
    assert {"avg voltage load", "max temperature", "time to discharge"} <= set(names)
    assert page.evaluate("document.querySelector('[data-drawn=life]').layout.shapes[0].y0") == 0.7
    page.get_by_label("Cycles ahead").select_option("50")
    page.wait_for_function(
        "() => document.querySelector('[data-drawn=life]').data"
        ".find(it => it.name?.startsWith('forecast')).x.length === 50"
    )
    expect(page.locator("[data-alert=end_of_life_near]")).to_contain_text("The end of life is near")
    resistance = page.evaluate("document.querySelector('[data-drawn=resistance]').data")
    assert "ohmic" in [it["name"] for it in resistance]
    slopes = page.evaluate("document.querySelector('[data-drawn^=slopes]').data.map(it => it.name)")
    assert slopes == ["cycle 1", "cycle 30", "cycle 60"]
    expect(page.locator("[data-learned]")).to_have_count(0)
    page.goto("/#/battery/S0001")
    expect(page.locator("[data-learned]")).to_contain_text("spec, extended learned from this")


def test_a_click_on_a_cycle_shows_its_curve(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    plot = page.locator("[data-drawn=life] .nsewdrag").first
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    page.wait_for_function("() => document.querySelector('#cycle').value !== '60'")
    chosen = page.get_by_label("Cycle", exact=True).input_value()
    page.wait_for_selector(f"[data-drawn='curve {chosen}']")
    page.get_by_label("Cycle", exact=True).fill("5")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawn='curve 5']")
    names = page.evaluate("document.querySelector('[data-drawn^=curve]').data.map(it => it.name)")
    assert names == ["cycle 1", "cycle 5"]


def test_what_is_shown_is_downloaded(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download S0003 soh as CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert [row["kind"] for row in table] == ["measured"] * 60 + ["forecast"] * 100
    assert float(table[-1]["predicted_soh"]) < 1
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download S0003 soh as PNG").click()
    assert Path(waiting.value.path()).read_bytes().startswith(b"\x89PNG")


def test_discharges_left_out_are_shown_with_their_reason_and_opened(page: Page) -> None:
    page.goto("/#/battery/S0001")
    page.wait_for_selector("[data-drawn='curve 59']")
    expect(page.get_by_text("Left out:")).to_contain_text("1 × no load")
    marks = page.evaluate(f"{LIFE}.data.find(it => it.name === 'left out')")
    assert marks["x"] == [59.5]
    assert marks["text"] == ["1 × no load"]
    assert page.evaluate(f"{LIFE}.layout.yaxis.range[0]") > 0.4  # they squeeze nothing
    page.get_by_label("or one that was left out").select_option("60")
    page.wait_for_selector("[data-drawn='discharge 60']")
    names = page.evaluate("document.querySelector('[data-drawn^=disch]').data.map(it => it.name)")
    assert names == ["cycle 1", "discharge 60, left out: no load"]
    page.reload()
    page.wait_for_selector("[data-drawn='discharge 60']")


def test_discharges_beyond_a_page_are_shown_too(page: Page) -> None:
    def in_parts(route: Route) -> None:
        whole = route.fetch(url=route.request.url.split("?")[0]).json()
        offset = int(parse_qs(urlsplit(route.request.url).query)["offset"][0])
        route.fulfill(json=whole | {"cycles": whole["cycles"][offset : offset + 25]})

    page.route("**/cycles?*", in_parts)
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    measured = page.evaluate(f"{LIFE}.data.find(it => it.name === 'measured').x")
    assert measured == list(range(1, 61))


def test_an_address_shows_the_same_again(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='slopes 60']")
    page.get_by_label("Cycles ahead").select_option("200")
    page.get_by_label("Cycle", exact=True).fill("7")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawn='slopes 7']")
    page.get_by_role("button", name="measured").click()
    page.locator("[data-drawn=life]").focus()
    page.keyboard.press("+")
    page.wait_for_function("() => location.hash.includes('zoom=')")
    zoom = page.evaluate(f"{LIFE}.layout.xaxis.range")
    page.reload()
    page.wait_for_selector("[data-drawn='slopes 7']")
    page.wait_for_selector("[data-drawn=life]")
    assert page.evaluate(f"{LIFE}.layout.xaxis.range") == pytest.approx(zoom, rel=1e-4)
    expect(page.get_by_label("Cycles ahead")).to_have_value("200")
    shown = page.evaluate(f"{LIFE}.data.filter(it => it.visible !== false).map(it => it.name)")
    assert "measured" not in shown
    page.get_by_role("button", name="measured").click()
    page.locator("[data-drawn=life]").focus()
    page.keyboard.press("Escape")
    page.wait_for_function("() => location.hash.endsWith('?horizon=200&cycle=7')")


def test_points_are_gone_through_and_opened_by_keyboard(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    page.locator("[data-drawn=life]").focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_contain_text("cycle 2; measured:")
    expect(page.get_by_role("status")).to_contain_text("°C")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawn='curve 2']")
    page.keyboard.press("End")
    expect(page.get_by_role("status")).to_contain_text("(90 %: ")


def test_no_cycle_between_two_and_no_error_behind_who_leaves(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='curve 60']")
    page.get_by_label("Cycle", exact=True).fill("2.5")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("There is no cycle 2.5: there are 1 to 60")
    for _ in range(3):
        for view in ("battery/S0001", "model", "compare?of=S0001"):
            page.evaluate(f"location.hash = '#/{view}'")
            page.wait_for_timeout(30)
    page.evaluate("location.hash = '#/fleet'")
    page.wait_for_selector("tr[data-battery=S0003]")
    page.wait_for_load_state("networkidle")


def test_the_fleet_s_state_is_in_its_address_and_its_table_downloaded(page: Page) -> None:
    page.goto("/#/fleet?flag=alert&sort=-battery_id")
    ids = page.locator("tr[data-battery] td a")
    expect(ids).to_have_text(["S0003", "S0001"])
    expect(page.locator("tr[data-battery=S0003]")).to_contain_text("alert: end of life near")
    page.get_by_label("Flag").select_option("simulated")
    expect(ids).to_have_count(5)
    page.get_by_label("Search").fill("S000")
    expect(ids).to_have_count(4)
    page.get_by_role("button", name="Remaining cycles").click()
    expect(page.get_by_text("0 of 4 have one, the others come last")).to_be_visible()
    page.get_by_label("Compare S0002").check()
    page.reload()
    expect(ids).to_have_count(4)
    expect(page.get_by_label("Compare S0002")).to_be_checked()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the fleet as CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    assert [row["battery_id"] for row in table] == ["S0001", "S0002", "S0003", "S0004"]
    assert all(None not in row for row in table)
    page.get_by_role("link", name="Compare 1").click()
    page.wait_for_selector("[data-drawn^=compare]")
    page.get_by_label("Battery").fill("S0003")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector("[data-drawn='compare cycle soh 2']")
    page.get_by_role("button", name="Add its group").click()
    expect(page.get_by_role("alert")).to_contain_text("S0003 is in no group")
    page.get_by_label("Battery").fill("SRW1")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawn='compare cycle soh 3']")
    page.get_by_label("Along").select_option("date")
    page.get_by_label("Shown").select_option("retention")
    page.wait_for_selector("[data-drawn='compare date retention 3']")
    page.reload()
    page.wait_for_selector("[data-drawn='compare date retention 3']")
    page.get_by_role("button", name="Remove S0002").click()
    page.wait_for_selector("[data-drawn='compare date retention 2']")


def test_a_name_is_never_read_as_html(page: Page) -> None:
    name = "<img src=x onerror=alert(1)> & <b>C</b>"

    def renamed(route: Route) -> None:
        plain = route.request.url.replace(quote(name, safe="()"), "S0003").replace(
            quote_plus(name), "S0003"
        )
        answer = route.fetch(url=plain)
        route.fulfill(response=answer, body=answer.text().replace("S0003", name))

    page.route("**/batteries*", renamed)
    page.route("**/batteries/**", renamed)
    page.route("**/compare?*", renamed)
    page.goto("/")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.wait_for_selector("[data-drawn='curve 60']")
    page.goto(f"/#/compare?of=S0001,{quote(quote(name, safe=''))}")
    plot = page.locator("[data-drawn^=compare]")
    plot.focus()
    page.keyboard.press("Home")
    expect(plot.locator(".hoverlayer")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".legend button", has_text="onerror")).to_have_text(name)
    expect(page.get_by_role("status")).to_contain_text(name)
    assert page.locator("main img, main b").count() == 0


def test_what_is_printed_is_as_wide_as_the_paper(page: Page) -> None:
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn='slopes 60']")
    page.emulate_media(media="print")
    page.add_style_tag(content="main { width: 600px }")
    widths = page.evaluate(
        "[...document.querySelectorAll('svg.main-svg')].map(it => it.getBoundingClientRect().width)"
    )
    assert len(widths) > 3
    assert max(widths) <= 600


def test_cycles_are_tried_as_json_and_as_csv(page: Page) -> None:
    page.goto("/#/try")
    answer = page.locator("#answer")
    page.get_by_label("Cycles").fill(json.dumps([EXAMPLE_CYCLE, *EXAMPLE_WINDOW]))
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("SOH of the next cycle")
    expect(answer).to_contain_text("51 cycles were posted; the last 50 count")
    said = answer.inner_text()
    lines = [",".join(EXAMPLE_CYCLE), *[",".join(map(str, EXAMPLE_CYCLE.values()))] * 51]
    page.get_by_label("or a file").set_input_files(
        {"name": "cycles.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
    )
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("SOH of the next cycle")
    assert answer.inner_text() == said


def test_tables_of_any_hand_are_tried(page: Page, service: str) -> None:
    """The page's own CSV, and with the marks of a spreadsheet, of psql, of tabs."""
    page.goto("/#/battery/S0003")
    page.wait_for_selector("[data-drawn=life]")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download S0003 soh as CSV").click()
    own = Path(waiting.value.path()).read_text()
    table = list(csv.DictReader(io.StringIO(own)))
    assert all(None not in row and None not in row.values() for row in table)
    with urllib.request.urlopen(f"{service}/batteries/S0003/cycles") as answer:
        cycles = json.load(answer)["cycles"]
    written = io.StringIO()
    psql = csv.writer(written)
    psql.writerow(["battery_id", "cycle_index", "features", "soh_target"])
    for it in cycles:
        psql.writerow(["S0003", it["cycle_index"], json.dumps(it["features"]), it["soh"]])
    tables = {
        "own": own,
        "spreadsheet": own.replace(",", ";").replace(".", ","),
        "tabs": own.replace(",", "\t"),
        "psql": written.getvalue(),
    }
    page.goto("/#/try")
    said = {}
    for name, text in tables.items():
        page.get_by_label("Cycles").fill(text)
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#answer")).to_contain_text("SOH of the next cycle")
        said[name] = page.locator("#answer .facts").inner_text()
        page.evaluate("document.getElementById('answer').replaceChildren()")
    assert len(set(said.values())) == 1, said
    assert "of 60 posted" in said["own"]


def test_what_was_typed_is_there_when_one_comes_back(page: Page) -> None:
    page.goto("/#/try")
    page.get_by_label("Cycles").fill("one\n1")
    page.locator("#rated").fill("3.1")
    page.goto("/#/fleet")
    page.wait_for_selector("tr[data-battery=S0003]")
    page.goto("/#/try")
    expect(page.get_by_label("Cycles")).to_have_value("one\n1")
    expect(page.locator("#rated")).to_have_value("3.1")


def test_a_cycler_s_file_is_dropped_and_answered(
    page: Page, recordings: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "cells.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("S0002.mat", "SRW1.mat"):
            opened.write(recordings / name, name)
    page.goto("/#/try")
    zone = page.get_by_role("region", name="A cycler's file")
    zone.get_by_label("Drop a cycler's file").set_input_files(archive)
    expect(zone).to_contain_text("Reading cells.zip")
    # dbt makes what a file is computed with, for the first one
    page.wait_for_selector("[data-drawn='recorded curve']", timeout=120_000)
    expect(zone.get_by_role("heading", level=3)).to_have_text(["S0002", "SRW1"])
    expect(zone).to_contain_text("by extended: like what it learned from")
    names = page.evaluate("document.querySelector('[data-drawn*=cycles]').data.map(it => it.name)")
    assert "forecast, with its 90 % interval" in names


def test_a_cell_unlike_the_training_cells_is_called_so_on_every_view(page: Page) -> None:
    page.goto("/")
    flags = page.locator("tr[data-battery=SRW1] .flag", has_text="unlike training")
    expect(flags).to_be_visible()
    expect(page.locator("tr[data-battery=S0003] .flag", has_text="unlike")).to_have_count(0)
    page.goto("/#/battery/SRW1")
    expect(page.locator("[data-verdict=unlike]")).to_contain_text("avg current load")
    page.wait_for_selector("[data-drawn^=curve]")
    page.goto("/#/try")
    large = {"discharge_capacity": 46.5, "avg_current_load": 50.5}
    page.get_by_label("Cycles").fill(json.dumps([EXAMPLE_CYCLE | large] * 50))
    page.get_by_role("button", name="Predict").click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("give the rated capacity")
    expect(answer.locator("[data-verdict=unlike]")).to_contain_text("avg current load, soh")
    page.locator("#rated").fill("50")
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("by rated capacity ah")
    expect(answer.locator("[data-verdict=unlike]")).to_contain_text("avg current load")


def test_the_model_view_sets_the_model_beside_persistence(page: Page) -> None:
    page.goto("/#/model")
    page.wait_for_selector("[data-drawn=calibration]")
    expect(page.get_by_role("cell", name="persistence").first).to_be_visible()
    plot = "document.querySelector('[data-drawn=predicted_measured]')"
    names = set(page.evaluate(f"{plot}.data.map(it => it.name)")) - {"exact"}
    networks = page.locator("tr[data-network]").evaluate_all(
        "all => all.map(it => it.dataset.network)"
    )
    assert names <= {f"S0003, by {it}" for it in networks}
    for drawn in ("predicted_measured", "error_persistence"):
        expect(page.locator(f"[data-drawn={drawn}] .trace").first).to_be_visible()


def test_the_model_view_shows_how_forecasts_did(page: Page) -> None:
    page.goto("/#/model")
    health = page.get_by_role("region", name="Health: forecasts").locator("tbody tr")
    expect(health.first).to_contain_text("this model")
    for said in ("0.0010", "100.0 %", "+0.0010", "1 battery, 10 cycles"):
        expect(health.first).to_contain_text(said)
    for said in ("0123456789ab", "0.0 %", "worse than persistence"):
        expect(health.last).to_contain_text(said)


def test_what_is_wrong_with_the_cycles_is_said(browser: Browser, service: str) -> None:
    with browser.new_context(base_url=service) as context:  # a refusal is logged in the console
        page = context.new_page()
        page.goto("/#/try")
        bad = [*EXAMPLE_WINDOW[:11], {**EXAMPLE_CYCLE, "max_temperature": 1e308}]
        page.get_by_label("Cycles").fill(json.dumps([*bad, *EXAMPLE_WINDOW[12:]]))
        page.get_by_role("button", name="Predict").click()
        expect(page.get_by_role("alert")).to_contain_text("cycle 12, max_temperature")
        page.get_by_label("Cycles").fill("a,b\n1\n")
        page.get_by_role("button", name="Predict").click()
        expect(page.get_by_role("alert")).to_contain_text("line 2 of the table has 1 values")
        page.goto("/#/battery/nobody")
        expect(page.get_by_role("alert")).to_contain_text("there is no battery nobody")
