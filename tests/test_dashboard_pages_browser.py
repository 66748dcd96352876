"""The dashboard as a person uses it: started by its own command, in headless Chromium.

They want Chromium and skip without it; Debian's is `apt-get install chromium`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_CHROMIUM
from tests.dashboard_server import opened, serving
from tests.dashboards import put_run
from tests.verdicts import make_outcome, make_verdict

pytestmark = WANTS_CHROMIUM
HOSTILE = (
    "<script>alert(1)</script> {{ 7 * 7 }} [x](javascript:alert(1)) <img src=x onerror=alert(1)>"
)


class Place(NamedTuple):
    address: str
    root: Path
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("dashboard")
    hostile = make_verdict(
        make_outcome(expectation=HOSTILE, outcome="failed"),
        verdict="refuted",
        claim=HOSTILE,
        reason=HOSTILE,
        caveats=(HOSTILE,),
    )
    reports = root / "reports"
    folders = [
        put_run(reports, started="2026-01-02T00:00:00Z"),
        put_run(
            reports,
            "hostile",
            verdict=hostile,
            started="2026-01-03T00:00:00Z",
            **{"model.name": HOSTILE, "hypothesis.tags": (HOSTILE,), "yaml": HOSTILE},
        ),
    ]
    ids = tuple(f"{folder.parent.name}/{folder.name}" for folder in folders)
    with serving(root) as address:
        yield Place(address, root, ids)


@pytest.fixture
def page(browser: Browser, place: Place) -> Iterator[Page]:
    """A page that must say nothing on the console, open no dialog and ask no other host."""
    found, heard = opened(browser, place.address)
    expect.set_options(timeout=30_000)
    yield found
    found.close()
    assert heard.errors == []
    assert heard.hosts - {""} <= {place.address.removeprefix("http://")}


def test_chips_filter_and_the_address_keeps_them(page: Page, place: Place):
    page.goto(place.address)
    page.get_by_role("button", name="1 refuted").click()
    expect(page.get_by_text("1 of 2 shown")).to_be_visible()
    expect(page).to_have_url(re.compile("verdict=refuted"))
    page.reload()
    expect(page.get_by_text("1 of 2 shown")).to_be_visible()


def test_hostile_text_is_shown_as_text(page: Page, place: Place):
    page.goto(f"{place.address}/run?run={place.runs[1]}&view=hypothesis")
    expect(page.get_by_text(HOSTILE).first).to_be_visible()
    expect(page.locator("code").get_by_text("javascript:alert(1)").first).to_be_visible()
    assert page.locator("a[href^='javascript:']").count() == 0
    assert page.locator("main img[src='x'], section img[src='x']").count() == 0


def test_the_report_stands_in_a_frame_of_its_own_origin(page: Page, place: Place):
    page.goto(f"{place.address}/run?run={place.runs[0]}&view=report")
    frame = page.frame_locator("iframe[title='Report']")
    expect(frame.get_by_text("Replacing the state replaces the capital.").first).to_be_visible()
    inner = next(each for each in page.frames if each.url.startswith("data:"))
    assert inner.evaluate("origin") == "null"
    assert (
        inner.evaluate("(() => { try { return parent.document.title } catch { return '' } })()")
        == ""
    )


def test_an_address_restores_a_comparison(page: Page, place: Place):
    page.emulate_media(color_scheme="dark")
    first, second = place.runs
    page.goto(f"{place.address}/compare?run={first}&with={second}&compared=file")
    expect(page.get_by_role("heading", name="≈ consistent")).to_be_visible()
    expect(page.get_by_role("heading", name="✖ refuted")).to_be_visible()
    expect(page.locator("code").first).to_contain_text("+++ B")
    colour = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert sum(int(part) for part in colour[4:-1].split(",")) < 200


def test_a_mistake_is_told_and_a_draft_is_saved(page: Page, place: Place):
    page.goto(f"{place.address}/author")
    editor = page.get_by_role("textbox", name="Hypothesis file")
    expect(editor).to_have_value(re.compile("hypothesis: my_hypothesis"))
    sound = editor.input_value()
    editor.fill(sound.replace("claim:", "claims:"))
    editor.press("Control+Enter")
    expect(page.get_by_text(re.compile(r"Did you mean 'claim'"))).to_be_visible()
    assert page.get_by_role("button", name="Run", exact=True).is_disabled()
    editor.fill(sound)
    editor.press("Control+Enter")
    expect(page.get_by_text("No mistakes")).to_be_visible()
    page.get_by_role("button", name="Save draft").press("Enter")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(page).to_have_url(re.compile("from=draft"))
    assert (place.root / "drafts" / "my_hypothesis.yaml").read_text() == sound


def test_what_is_typed_is_checked_while_it_is_written(page: Page, place: Place):
    page.goto(f"{place.address}/author")
    editor = page.get_by_role("textbox", name="Hypothesis file")
    expect(editor).to_have_value(re.compile("hypothesis: my_hypothesis"))
    expect(page.get_by_text("No mistakes")).to_be_visible()
    editor.press("Control+Home")
    editor.press_sequentially("claims: x\n", delay=20)
    expect(page.get_by_text(re.compile("Did you mean 'claim'")).first).to_be_visible()
    expect(editor).to_be_focused()
    editor.press_sequentially("# more\n", delay=20)
    expect(editor).to_have_value(re.compile(r"^claims: x\n# more\n"))


def test_a_file_is_uploaded(page: Page, place: Place):
    page.goto(f"{place.address}/author")
    page.get_by_text("Upload a file").click()
    text = "hypothesis: mine\nclaim: <b>x</b>\n"
    file = {"name": "mine.yaml", "mimeType": "application/yaml", "buffer": text.encode()}
    page.locator("input[type=file]").set_input_files([file])
    editor = page.get_by_role("textbox", name="Hypothesis file")
    expect(editor).to_have_value(text)
    expect(page.get_by_text(re.compile("mine.yaml")).first).to_be_visible()


def test_circuits_stand_side_by_side(page: Page, place: Place):
    first, second = place.runs
    page.goto(f"{place.address}/compare?run={first}&with={second}&compared=circuit")
    images = page.get_by_role("img", name=re.compile("^ablate_texas on dallas"))
    expect(images).to_have_count(2)
    expect(images.first).to_be_visible()
    assert min(images.evaluate_all("all => all.map(each => each.naturalWidth)")) > 0
    boxes = [images.nth(n).bounding_box() for n in (0, 1)]
    assert boxes[0] and boxes[1] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]


def test_the_guide_reads(page: Page, place: Place):
    page.goto(f"{place.address}/guide")
    expect(page.get_by_role("heading", name="A verdict")).to_be_visible()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
