"""Two dashboards over the same folders, as two people start them: nothing of either is lost."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import WANTS_CHROMIUM
from tests.dashboard_server import Heard, opened, serving
from tests.dashboards import put_run
from tests.records import YAML

pytestmark = WANTS_CHROMIUM
SLOW = 30_000


class Place(NamedTuple):
    root: Path
    urls: tuple[str, str]
    browser: Browser


@pytest.fixture(scope="module")
def place(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("two")
    put_run(root / "reports")
    with serving(root) as one, serving(root) as other:
        yield Place(root, (one, other), browser)


@pytest.fixture
def drafts(place: Place) -> Path:
    """The folder of drafts, in which nothing is yet."""
    folder = place.root / "drafts"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def author(place: Place, query: str = "") -> list[tuple[Page, Heard]]:
    """The page in both dashboards."""
    pages = [opened(place.browser, f"{url}/author{query}") for url in place.urls]
    for page, _ in pages:
        editor(page).wait_for(timeout=SLOW)
        expect(page.get_by_text("No mistakes")).to_be_visible(timeout=SLOW)
    return pages


def editor(page: Page):
    return page.get_by_role("textbox", name="Hypothesis file")


def write(page: Page, text: str) -> None:
    """Edit, have it checked, and be ready to save."""
    editor(page).fill(text)
    editor(page).press("Control+Enter")
    code = page.get_by_test_id("stMarkdownContainer").get_by_text("No mistakes")
    expect(code).to_be_visible(timeout=SLOW)


def save_in_both(pages: list[tuple[Page, Heard]]) -> list[str]:
    """What each dashboard says after both were told to save."""
    for page, _ in pages:
        page.get_by_role("button", name="Save draft").press("Enter")
    said = [page.get_by_text(re.compile(r"^(Saved as|Not saved)")) for page, _ in pages]
    for each in said:
        expect(each).to_be_visible(timeout=SLOW)
    return [each.inner_text() for each in said]


def test_a_new_draft_is_the_first_ones_and_the_other_is_told(place: Place, drafts: Path):
    pages = author(place)
    sound = editor(pages[0][0]).input_value()
    texts = [f"{sound}# by {name}\n" for name in ("one", "other")]
    for (page, _), text in zip(pages, texts, strict=True):
        write(page, text)
    said = save_in_both(pages)
    assert sorted(each.split(":")[0].split(" as")[0] for each in said) == ["Not saved", "Saved"]
    assert "there is a draft 'my_hypothesis' already" in " ".join(said)
    winner = next(n for n, each in enumerate(said) if each.startswith("Saved"))
    assert os.listdir(drafts) == ["my_hypothesis.yaml"]
    assert (drafts / "my_hypothesis.yaml").read_text() == texts[winner]
    assert editor(pages[1 - winner][0]).input_value() == texts[1 - winner]
    close(pages)


def test_an_opened_draft_is_not_written_over_by_who_read_it_before(place: Place, drafts: Path):
    path = drafts / "shared.yaml"
    path.write_text(YAML)
    pages = author(place, "?from=draft/shared")
    for (page, _), name in zip(pages, ("one", "other"), strict=True):
        write(page, f"{YAML}# {name}\n")
    said = save_in_both(pages)
    assert sum(each.startswith("Saved") for each in said) == 1
    assert "changed by someone else since it was opened here" in " ".join(said)
    assert path.read_text() in {f"{YAML}# one\n", f"{YAML}# other\n"}
    assert os.listdir(drafts) == ["shared.yaml"]
    close(pages)


def test_each_lists_what_the_other_saved_and_the_runs(place: Place, drafts: Path):
    for name in ("one", "other"):
        (drafts / f"{name}.yaml").write_text(YAML)
    for page, heard in author(place):
        page.get_by_role("combobox", name="Begin from").click()
        for name in ("draft/one", "draft/other"):
            expect(page.get_by_role("option", name=name)).to_be_visible(timeout=SLOW)
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)
        assert heard.errors == []
        page.close()


def close(pages: list[tuple[Page, Heard]]) -> None:
    for page, heard in pages:
        assert heard.errors == []
        page.close()
