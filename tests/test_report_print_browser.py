"""The report on paper: everything is there, also what is closed on the screen, on no blank page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser

from tests.chromium import WANTS_CHROMIUM
from tests.printed import Printed
from tests.records import change, make_reading, make_record
from tracer.evidence.judge import judge_run
from tracer.report.render import render

pytestmark = WANTS_CHROMIUM

CLAIM = "Naming the capital goes through the state, so replacing the state replaces the capital."
FAILING = {("texas_to_california", "plano"): make_reading(Austin=0.5, Sacramento=0.1)}


@pytest.fixture(scope="module")
def printed(browser: Browser, tmp_path_factory: pytest.TempPathFactory):
    """The verdict of a run of which one expectation failed, and the pages of its report."""
    record, arrays = make_record(clamped=FAILING)
    record = change(record, "supernodes.texas.label", "Lone Star")
    verdict = judge_run(record, arrays)
    path = tmp_path_factory.mktemp("print") / "report.html"
    path.write_text(render(record, verdict, arrays), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator("details:not([open])").count() > 10
    pages = Printed(page.pdf(format="A4")).pages()
    page.close()
    return verdict, pages


def bare(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_no_page_is_blank(printed):
    _, pages = printed
    assert 3 <= len(pages) <= 12
    assert all(len(page) > 100 for page in pages)


def test_the_first_page_tells_claim_verdict_and_reason(printed):
    verdict, pages = printed
    for told in (CLAIM, verdict.reason, "Did it hold?", "Be careful about"):
        assert bare(told) in pages[0]
    assert "REFUTED" in pages[0]


ICONS = {"held": "✔", "failed": "✖", "untested": "?"}


def test_every_expectation_is_there_and_every_prompt_of_the_closed_ones(printed):
    verdict, pages = printed
    paper = "".join(pages)
    assert {each.outcome for each in verdict.outcomes} == {"held", "failed"}
    for outcome in verdict.outcomes:
        for told in (outcome.expectation, outcome.expected, outcome.observed):
            assert bare(told) in paper, told
        for each in outcome.prompts:
            assert bare(f"{each.prompt}{ICONS[each.outcome]}{each.outcome}{each.observed}") in paper


def test_the_circuit_its_outputs_and_the_curves_are_drawn(printed):
    _, pages = printed
    paper = "".join(pages)
    assert paper.count(bare("40 features · L3–11")) == 3  # one picture ablates one, one swaps two
    assert "LoneStar" in paper and "×0" in paper
    assert "unclamped" in paper and "⋯" in paper
    for heading in ("Against matched controls", "Dose curves", "Prompt by prompt", "Provenance"):
        assert bare(heading) in paper


def test_the_file_and_the_members_which_the_screen_folds_are_whole(printed):
    _, pages = printed
    paper = "".join(pages)
    assert bare("controls: {random: 99}") in paper
    assert bare("How to read this page") in paper and bare("Spearman’s ρ") in paper.replace(
        "'", "’"
    )
    assert "noprint" not in paper and bare("Show expectations") not in paper
