"""The page as a whole: what it says, that nothing in it obeys a stranger, and that it repeats."""

import base64
import hashlib
import html
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tests.records import HYPOTHESIS, change, clean_reading, make_record
from tests.verdicts import make_outcome, make_verdict
from tracer.evidence.judge import judge_run
from tracer.record.record import Record
from tracer.record.verdict import PromptOutcome, Verdict
from tracer.report.headline import safe_link
from tracer.report.render import render

EVIL = "<script>alert(1)</script>\"'></style></title><img src=x onerror=alert(1)>\u202e\x00"
TEMPLATED = EVIL + "{{ 7*7 }}{% raw %}"


class Tags(HTMLParser):
    """Every tag with its attributes, pictures as the set of theirs; what scripts and styles hold.

    Left out is what stands around a token; how many tokens a picture has room for is its matter.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.drawn: set[tuple[str, frozenset[str]]] = set()
        self.inside: dict[str, str] = {}
        self._n_pictures = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._n_pictures += tag == "svg"
        if self._n_pictures:
            self.drawn.add((tag, frozenset(name for name, _ in attrs)))
        elif ("class", "held-token") not in attrs:
            self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._n_pictures -= tag == "svg"

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inside.setdefault(self.tags[-1][0], data)


def full_verdict(**replaced: Any) -> Verdict:
    prompt = PromptOutcome(prompt="plano", outcome="failed", observed="+0.10", p=0.5, reason="why")
    outcomes = (
        make_outcome("texas_to_california"),
        make_outcome("texas_to_california", "failed", "held out", prompts=(prompt,)),
        make_outcome("ablate_texas", "untested", reason="too few controls", wilson=None),
    )
    caveats = ("Only one discovery prompt.",)
    return make_verdict(
        **{"outcomes": outcomes, "caveats": caveats, "verdict": "refuted", **replaced}
    )


def text_of(page: str) -> str:
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", body)))


def hostile(value: Any) -> Any:
    """Every string a stranger can write, poisoned; names and hashes keep their patterns."""
    if isinstance(value, str):
        return value.replace(" Austin", " Austin" + EVIL).replace("Dallas", "Dallas" + TEMPLATED)
    if isinstance(value, dict):
        return {hostile(k): hostile(v) for k, v in value.items()}
    return [hostile(v) for v in value] if isinstance(value, (list, tuple)) else value


def test_the_first_screen_answers_the_readers_questions():
    record, arrays = make_record()
    measured = judge_run(record, arrays).outcomes
    text = text_of(render(record, full_verdict(outcomes=measured), arrays))
    assert "✖ refuted" in text
    assert "Replacing the state replaces the capital." in text
    assert "all expectations held." in text
    assert "The file expected this to be confirmed." in text
    assert "−1.18 → +1.99 · controls" in text
    assert "p 0.010" in text
    assert "Only one discovery prompt." in text
    places = [text.rindex(each) for each in ("Did it hold?", "The claimed circuit", "Provenance")]
    assert places == sorted(places)


def test_a_published_failure_is_stated_plainly():
    record, arrays = make_record()
    page = render(record, full_verdict(expected="refuted"), arrays)
    assert "Published as a failure; failed as stated." in text_of(page)


def test_failed_and_untested_are_open_and_held_is_closed():
    record, arrays = make_record()
    page = render(record, full_verdict(), arrays)
    bodies = re.findall(r'<tbody data-kind="(\w+)">.*?<details( open)?>', page, flags=re.S)
    assert bodies == [("failed", " open"), ("untested", " open"), ("held", "")]
    assert "too few controls" in page


def test_provenance_repeats_the_file_and_the_command():
    record, arrays = make_record()
    record = change(record, "overrides", ("seed=3", "controls.random=9; rm -rf x"))
    page = render(record, full_verdict(), arrays)
    assert record.yaml in html.unescape(page)
    command = "tracer run hypotheses/two_hop.yaml --set seed=3 --set 'controls.random=9; rm -rf x'"
    assert command in text_of(page)
    for said in (record.sha256, record.model.fingerprint, "torch 2.13.0", "measure 11.5 s"):
        assert said in text_of(page)


def test_no_text_of_a_stranger_becomes_markup():
    record, arrays = make_record()
    verdict = full_verdict()
    poisoned = Record.model_validate(hostile(record.model_dump(by_alias=True)))
    for path in ("file", "model.source", "model.name", "basis", "environment.platform", "yaml"):
        poisoned = change(poisoned, path, TEMPLATED)
    poisoned = change(poisoned, "notes", (TEMPLATED,))
    poisoned = change(poisoned, "supernodes.texas.label", TEMPLATED)
    said = dict.fromkeys(("claim", "reason"), TEMPLATED)
    bad = make_verdict(
        *(
            o.model_copy(update=dict.fromkeys(("expectation", "expected", "observed"), TEMPLATED))
            for o in verdict.outcomes
        ),
        **{**said, "caveats": ()},
        verdict="refuted",
    )
    plain, evil = Tags(render(record, full_verdict(), arrays)), Tags(render(poisoned, bad, arrays))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    assert [set(a) for _, a in evil.tags] == [set(a) for _, a in plain.tags]
    assert evil.drawn == plain.drawn
    assert evil.inside == plain.inside


def test_hostile_text_is_shown_not_run():
    record, arrays = make_record()
    page = render(record, make_verdict(claim=TEMPLATED), arrays)
    assert "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert "⟨U+202E⟩⟨U+0000⟩" in page
    assert not re.search("[\x00\u202e]", page)


def test_nothing_is_fetched_and_only_our_own_style_and_script_may_run():
    record, arrays = make_record()
    page = render(record, full_verdict(), arrays)
    tags = Tags(page)
    policy = next(
        a["content"] for _, a in tags.tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'")
    for kind in ("style", "script"):
        digest = hashlib.sha256(tags.inside[kind].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    for _, attributes in tags.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(
            ("#", "https://transformer-circ", "data:")
        )


@pytest.mark.parametrize(
    "source",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "https://",
        "http://[broken",
        "https://example.org/\u202efdp",
        "//example.org",
        "Nanda et al. 2023",
    ],
)
def test_only_web_addresses_become_links(source: str):
    assert safe_link(source) is None
    record, arrays = make_record(hypothesis={"source": source})
    links = [a for tag, a in Tags(render(record, full_verdict(), arrays)).tags if tag == "a"]
    assert all((a["href"] or "").startswith("#") for a in links)


def test_a_link_gives_nothing_away():
    assert safe_link("https://example.org/a?b=c#d") == "https://example.org/a?b=c#d"
    record, arrays = make_record()
    page = render(record, full_verdict(), arrays)
    assert 'rel="noopener noreferrer"' in page


def test_headings_are_in_order_and_landmarks_are_there():
    record, arrays = make_record()
    tags = Tags(render(record, full_verdict(), arrays)).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    names = [tag for tag, _ in tags]
    assert names.count("main") == 1
    assert ("html", {"lang": "en"}) in tags
    assert names.count("caption") == names.count("table")
    assert all("scope" in a for tag, a in tags if tag == "th")
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_the_same_record_gives_the_same_bytes_in_every_process():
    code = (
        "from tests.records import make_record; from tests.verdicts import make_verdict;"
        "from tracer.report.render import render; import hashlib;"
        "r, a = make_record();"
        "print(hashlib.sha256(render(r, make_verdict(), a).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def many(n_prompts: int) -> tuple[Record, dict[str, np.ndarray]]:
    """Three interventions on n prompts."""
    names = ["dallas", *(f"city_{i}" for i in range(1, n_prompts))]
    prompts = {
        name: {"city": "Dallas", "answer": " Austin", "held_out": name != "dallas"}
        for name in names
    }
    prompts["oakland"] = {"city": "Oakland", "answer": " Sacramento"}
    swap = {**HYPOTHESIS["interventions"]["texas_to_california"], "prompts": names}
    return make_record(
        hypothesis={
            "prompts": prompts,
            "interventions": dict.fromkeys(("texas_to_california", "again", "more"), swap),
        },
        baselines={name: clean_reading("dallas") for name in names},
    )


def test_three_interventions_on_ten_prompts_stay_below_two_megabytes():
    record, arrays = many(10)
    assert len(render(record, full_verdict(), arrays).encode()) < 2_000_000


def test_of_very_many_expectations_the_worst_are_listed():
    record, arrays = make_record()
    many = [make_outcome("texas_to_california") for _ in range(1_000)]
    failed = make_outcome("ablate_texas", "failed")
    page = render(record, make_verdict(*many, failed), arrays)
    assert "Listed: the 500 worst of 1,001." in page
    assert page.count("<tbody data-kind=") == 500
    assert page.count('<tbody data-kind="failed"') == 1


def test_doses_of_what_the_record_does_not_clamp_are_not_drawn():
    record, arrays = make_record()
    page = render(record, full_verdict(), arrays)
    record = change(record, "interventions.texas_to_california.trials.dallas.clamps", ())
    assert 'class="dose"' in page and 'class="dose"' not in render(record, full_verdict(), arrays)


def test_a_run_with_problems_and_without_controls_is_still_told():
    record, _ = make_record(n_controls=0)
    path = "interventions.ablate_texas.trials.dallas.problem"
    record = change(record, path, "no active feature")
    trial = record.interventions["texas_to_california"].trials["plano"]
    broken = trial.model_copy(update={"problem": "NaN in the logits"})
    record = change(record, "interventions.texas_to_california.trials", {"plano": broken})
    text = text_of(render(record, full_verdict(verdict="error"), {}))
    assert "dallas: no active feature" in text
    assert "plano: NaN in the logits" in text
    assert "no controls were drawn" in text
    assert "Not measured on any prompt." in text
