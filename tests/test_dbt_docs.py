"""Everything dbt builds is described, and its documentation is one page that opens anywhere."""

import json
from pathlib import Path

import pytest

from tests.conftest import run


@pytest.fixture(scope="module")
def target(simulated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    made = run(
        "dbt", "docs", "generate", "--static", "--project-dir", "dbt_project",
        "--target-path", str(folder), DATABASE_URL=simulated_template,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout
    return folder


def test_every_model_and_column_is_described(target: Path) -> None:
    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    lacking = []
    for name, found in catalog["nodes"].items():
        node = manifest["nodes"][name]
        assert node["description"].startswith("One row per"), name
        described = {it["name"] for it in node["columns"].values() if it["description"]}
        lacking += [f"{node['name']}.{column}" for column in set(found["columns"]) - described]
        lacking += [f"{node['name']} has no {it}" for it in described - set(found["columns"])]
    assert sorted(lacking) == []


def test_the_page_needs_no_other_file(target: Path) -> None:
    page = (target / "static_index.html").read_text()
    assert "cycle_series" in page
    assert "MANIFEST.JSON INLINE DATA" not in page
