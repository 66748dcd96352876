"""What a page leaves out it counts: interventions, prompts, measures, controls, members, texts."""

import re

import pytest

from tests.judging import DIFF
from tests.records import HYPOTHESIS, change, make_record
from tests.test_report_large import told
from tests.test_report_render import full_verdict, many, text_of
from tests.test_report_texts import recorded
from tests.verdicts import make_outcome, make_verdict
from tracer.evidence.judge import judge_alone
from tracer.record.record import FeatureRef
from tracer.record.trials import Generated, GeneratedText, GraphEdge
from tracer.record.verdict import PromptOutcome
from tracer.report.effects import EffectComparison, Measure, measures
from tracer.report.index import IndexEntry, render_index
from tracer.report.limits import MAX_DOTS, Quota, cut, middle_out, select_measures, select_trials
from tracer.report.plots import strip
from tracer.report.render import render
from tracer.report.sections.expectations import outcome_views
from tracer.report.sections.graphs import graph_views
from tracer.report.sections.texts import text_views

SWAP = HYPOTHESIS["interventions"]["texas_to_california"]


def test_a_list_that_fits_is_whole_and_one_that_does_not_says_so():
    assert (cut("abc", 3, "letters", "a book").kept, cut("abc", 3, "x", "y").note) == (
        ("a", "b", "c"), "",
    )  # fmt: skip
    short = cut(range(2_000), 2, "letters", "a book")
    assert short.kept == (0, 1)
    assert short.note == "Shown: 2 of 2,000 letters. All of them are in a book."


@pytest.mark.parametrize("length", [1, 2, 3, 50, 99])
def test_a_long_text_loses_its_middle(length):
    text = "".join(chr(ord("a") + n % 26) for n in range(100))
    found = middle_out(text, length)
    head, _, tail = re.split(r" (⟨….*⟩) ", found)
    assert text.startswith(head) and text.endswith(tail) and len(head + tail) == length
    assert f"{100 - length} characters left out" in found
    assert middle_out(text, 100) == text


def test_of_many_interventions_those_that_failed_are_drawn():
    names = [f"swap_{n}" for n in range(40)]
    record, arrays = make_record(hypothesis={"interventions": dict.fromkeys(names, SWAP)})
    failed = [make_outcome(names[n], "failed") for n in (30, 39)]
    held = [make_outcome(name) for name in names if name not in ("swap_30", "swap_39")]
    page = render(record, make_verdict(*held, *failed, verdict="refuted"), arrays)
    assert "Drawn on this page: 24 of 40 interventions" in page
    drawn = re.findall(r'<h3 id="hi-\d+"><bdi>(\w+)', page)
    assert drawn == [*names[:22], "swap_30", "swap_39"]
    assert page.count('<a href="#i-') == 24
    assert len(page.encode()) < 2_000_000
    row = render_index([IndexEntry(record, make_verdict(), None)])
    assert "Shown: 12 of 40 interventions." in row and row.count("swap_") == 12


def test_of_many_prompts_some_of_each_split_are_drawn():
    record, arrays = many(90)
    page = render(record, full_verdict(), arrays)
    assert page.count("Drawn: 53 of 90 prompts. The medians and the verdict are of all.") == 3
    assert page.count('class="dose"') == 53
    assert len(page.encode()) < 2_000_000
    trials = list(record.interventions["again"].trials.values())
    few = select_trials(record, trials, Quota(4, 4)).kept
    assert [t.prompt for t in few] == ["dallas", "city_1", "city_2", "city_3"]


def test_of_many_measures_the_first_are_select_measures():
    tests = [
        {"logit_diff": DIFF, "beats_controls": 0.05},
        {"logit_diff": DIFF[::-1], "undercuts_controls": 0.05},
        {"probability": DIFF[0], "beats_controls": 0.05},
    ]
    record, arrays = make_record(
        hypothesis={"interventions": {"texas_to_california": {**SWAP, "expect": tests}}}
    )
    asked = measures(record.hypothesis.interventions["texas_to_california"])
    judged = judge_alone(record, arrays)
    few = select_measures(record, "texas_to_california", asked, arrays, judged, Quota(4, 8))
    assert few.note == "Plotted: 2 of 3 measures that are compared with controls."
    assert [measure.title for measure, _ in few.kept] == [each.title for each in asked[:2]]
    assert select_measures(record, "texas_to_california", asked, arrays, judged, Quota()).note == ""


def test_of_many_controls_a_row_draws_evenly_spaced_ranks():
    controls = tuple(float(n) for n in range(1_000, 0, -1))
    row = strip(
        Measure("logit_diff", ("a", "b"), "above"),
        [EffectComparison("p", held_out=False, before=0.0, after=1.0, controls=controls, p=0.5)],
    ).rows[0]
    assert row.dots.count("M") == MAX_DOTS
    assert "1000 controls, 250 of them drawn" in row.title
    places = [float(x) for x in re.findall(r"M([\d.]+) ", row.dots)]
    steps = {round(b - a, 1) for a, b in zip(places, places[1:], strict=False)}
    assert places == sorted(places) and max(steps) - min(steps) <= 0.8


def test_of_many_prompts_under_an_expectation_the_worst_are_listed():
    held = [PromptOutcome(prompt=f"p{n}", outcome="held", observed="x") for n in range(4_000)]
    failed = PromptOutcome(prompt="bad", outcome="failed", observed="x")
    [view] = outcome_views([make_outcome(prompts=(*held, failed))]).kept
    assert len(view.prompts) == 3_000 and view.prompts[0].prompt == "bad"
    assert view.summary.endswith("; the 3,000 worst are listed, all of them are in verdict.json")


def test_long_lists_and_files_are_cut_with_a_sentence():
    record, arrays = make_record()
    record = change(record, "yaml", "a" * 300_000)
    record = change(record, "notes", tuple(f"note {n}" for n in range(100)))
    members = tuple(FeatureRef(layer=1, index=n) for n in range(9_000))
    record = change(record, "supernodes.texas.features", members)
    changes = tuple(f"seed: changed {n}" for n in range(10_000))
    page = render(record, full_verdict(post_hoc=changes), arrays)
    text = text_of(page)
    assert "180,000 characters left out" in text
    assert "Shown: 60 of 101 remarks. All of them are in verdict.json and run.json." in text
    assert "Shown: 1,000 of 9,000 members. All of them are in run.json." in text
    assert "Shown: 60 of 10,000 changes. All of them are in verdict.json." in text
    assert "Post hoc: 10000 parts of the file changed" in text
    assert len(page.encode()) < 1_000_000


def test_of_many_generated_texts_the_first_are_shown_and_long_ones_lose_their_middle():
    record, _ = recorded()
    text = GeneratedText(text="x" * 5_000, token_ids=(1,), stopped=True)
    path = "interventions.texas_to_california.trials.dallas.generated"
    record = change(record, path, Generated(clamped=(text,) * 300, clean=(text,) * 300))
    [view] = text_views(record)
    assert len(view.rows.kept) == 240
    assert view.rows.note == "Shown: 240 of 300 samples. All of them are in run.json."
    assert "3,000 characters left out" in view.rows.kept[0].clean


def test_of_many_edges_the_strongest_are_listed():
    record, _ = make_record()
    edges = tuple(
        GraphEdge(source="texas", target="output", weight=1.0, share=n / 500) for n in range(1, 301)
    )
    graph = told(1)["dallas"].model_copy(update={"edges": edges})
    [view] = graph_views(record.model_copy(update={"graphs": {"dallas": graph}}))
    assert len(view.edges.kept) == 120 and view.edges.kept[0].share == "+60.00 %"
    assert view.edges.note == "Shown: 120 of 300 edges. All of them are in run.json."
