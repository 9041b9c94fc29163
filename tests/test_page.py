"""The page in a real browser: it draws, is operated, can be read by all, and asks nobody else.

Its pictures are left in artifacts/page/ for a person to look at.
"""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

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
    "battery": ("#/battery/S0003", "[data-drawn='curve 60']"),
    "model": ("#/model", "[data-drawn=calibration]"),
    "try": ("#/try", "#cycles"),
}
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
    assert {"measured", "predicted, one step", "forecast"} <= set(names)
    assert {"predicted, 90 % interval", "forecast, 90 % interval"} <= set(names)
    assert {"avg voltage load", "max temperature", "time to discharge"} <= set(names)
    assert page.evaluate("document.querySelector('[data-drawn=life]').layout.shapes[0].y0") == 0.7
    page.get_by_label("Cycles ahead").select_option("50")
    page.wait_for_function(
        "() => document.querySelector('[data-drawn=life]').data"
        ".find(it => it.name === 'forecast').x.length === 50"
    )


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


def test_discharges_left_out_are_shown_with_their_reason(page: Page) -> None:
    page.goto("/#/battery/S0001")
    page.wait_for_selector("[data-drawn='curve 59']")
    expect(page.get_by_text("Left out:")).to_contain_text("1 × no load")
    marks = page.evaluate(
        "document.querySelector('[data-drawn=life]').data.find(it => it.name === 'left out')"
    )
    assert marks["x"] == [59.5]
    assert marks["text"] == ["1 × no load"]


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
    page.get_by_label("Rated capacity, Ah").fill("50")
    page.get_by_role("button", name="Predict").click()
    expect(answer).to_contain_text("by rated capacity ah")
    expect(answer.locator("[data-verdict=unlike]")).to_contain_text("avg current load")


def test_the_model_view_sets_the_model_beside_persistence(page: Page) -> None:
    page.goto("/#/model")
    page.wait_for_selector("[data-drawn=calibration]")
    expect(page.get_by_role("cell", name="persistence").first).to_be_visible()
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
        expect(page.get_by_role("alert")).to_contain_text("Line 2 has 1 values")
        page.goto("/#/battery/nobody")
        expect(page.get_by_role("alert")).to_contain_text("there is no battery nobody")
