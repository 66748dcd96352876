"""The published circuits: sound without a model, skipped without one, and run on a stand-in."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from command import Result, call
from huggingface_hub.errors import LocalEntryNotFoundError
from stand_ins import KINDS, StandIn, stand_in

from tracer.engine.batches import BatchLimit, Row
from tracer.engine.clean import clean_run
from tracer.engine.forward import run_rows
from tracer.engine.model import hub
from tracer.engine.model.sources import MODELS_VARIABLE
from tracer.engine.progress import Silent
from tracer.engine.session import open_both
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.report.run import Run

FOLDER = Path(__file__).parent.parent / "hypotheses" / "published"
FILES = sorted(FOLDER.glob("*.yaml"))
DECLARED = {path.stem: read(str(path)).hypothesis for path in FILES}
POSITIONS = {
    ("two_hop_gemma2", "dallas"): {4: " capital", 7: " state", 9: " Dallas", 10: " is"},
    ("two_hop_gemma2", "vancouver"): {4: " capital", 9: " Vancouver", 10: " is"},
    ("multilingual_gemma2", "petit"): {2: " contraire", 5: "petit", 8: ' "'},
    ("multilingual_gemma2", "xiao"): {2: "小", 8: '"'},
    ("language_gemma2", "french"): {5: " Jordan", 6: " joue", 7: " au"},
    ("language_gemma2", "spanish"): {6: " al"},
    ("sport_gemma2", "brady"): {2: " Brady", 6: " of"},
    ("analogies_gemma2", "language"): {3: "Spanish", 5: " US", 6: ":"},
    ("garden_path_llama", "project"): {4: " retired", 6: " project"},
    ("currency_llama", "china"): {3: " peso", 5: " China", 6: ":"},
    ("transfer_llama", "us"): {5: " US", 6: ":"},
}
"""Tokens at the positions that the published feature ids name."""

QUICK = ("currency_llama",)
"""Measured on a stand-in by every test session; the others by `-m library`."""
MEASURED = [
    pytest.param(path, id=path.stem, marks=[] if path.stem in QUICK else [pytest.mark.library])
    for path in FILES
]

Command = Callable[..., Result]


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    return partial(call, capfd)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StandIn]:
    """By the name of the model they stand for."""
    found = {}
    for number, name in enumerate(KINDS):
        own = [one for one in DECLARED.values() if one.model_spec.name == name]
        found[name] = stand_in(name, own, tmp_path_factory.mktemp(f"stand_in_{number}"))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path):
    declared = DECLARED[path.stem]
    kind = KINDS[declared.model_spec.name]
    assert declared.hypothesis == path.stem
    assert declared.tags[:2] == ("published", "gemma-2-2b" if kind.threshold else "llama-3.2-1b")
    assert declared.source and declared.source.startswith("https://github.com/")
    assert declared.if_absent == "skip"
    assert declared.expected == ("refuted" if "failure" in declared.tags else "consistent")
    ids = [id_ for node in declared.supernodes.values() for id_ in node.features or ()]
    for layer, index, *_ in (map(int, id_.split("_")) for id_ in ids):
        assert layer < kind.n_layers
        assert index < kind.n_features


def test_the_page_lists_every_file():
    page = (FOLDER.parent.parent / "docs" / "published.md").read_text(encoding="utf-8")
    listed = {path.stem for path in FILES if f"(../hypotheses/published/{path.name})" in page}
    assert listed == set(DECLARED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_published_shares_are_means_over_features(path: Path):
    """As circuit-tracer computes them."""
    specs = DECLARED[path.stem].interventions.values()
    fractions = [e for spec in specs for e in spec.expect if isinstance(e, Fraction)]
    assert all(fraction.average == "equal" for fraction in fractions)


def test_all_are_valid_listed_and_planned_without_a_model(tracer_: Command):
    checked = tracer_("validate", *map(str, FILES))
    assert checked.code == 0
    assert checked.out.count(": ok\n") == len(FILES)
    listed = tracer_("list", str(FOLDER), "-t", "published")
    assert (listed.code, listed.out.count("never run")) == (0, len(FILES))
    planned = tracer_("plan", str(FOLDER))
    assert planned.code == 0
    assert planned.err.count("no tokens, memory or time") == len(FILES)


def test_without_a_hub_all_are_skipped_with_the_reason(tracer_: Command, monkeypatch):
    def unreachable(*_, **__):
        raise LocalEntryNotFoundError("")

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", unreachable)
    written = ("--junitxml", "verdicts.xml", "--json", "verdicts.json")
    result = tracer_("run", str(FOLDER), *written)
    assert result.code == 5
    reason = "google/gemma-2-2b is not in the hub's cache"
    assert f"− SKIPPED  two_hop_gemma2  {reason}" in result.out
    assert result.out.endswith(f"{len(FILES)} hypotheses: {len(FILES)} skipped\n")
    root = ET.parse("verdicts.xml").getroot()
    assert (root.get("tests"), root.get("skipped")) == (str(len(FILES)), str(len(FILES)))
    assert (root.get("errors"), root.get("failures")) == ("0", "0")
    told = json.loads(Path("verdicts.json").read_text(encoding="utf-8"))
    assert told["exit_code"] == 5
    names = {one["skipped"].split(" is ")[0] for one in told["results"]}
    assert names == set(KINDS)


@pytest.mark.parametrize("path", MEASURED)
def test_every_intervention_is_measured_on_a_stand_in(path: Path, stand_ins, tracer_: Command):
    """A random model gives none of the answers, so they are taken out to judge the rest."""
    declared = DECLARED[path.stem]
    place = stand_ins[declared.model_spec.name]
    answered = [name for name, prompt in declared.prompts.items() if prompt.answer]
    unasked = [word for name in answered for word in ("--set", f"prompts.{name}.answer=null")]
    named = ("--model", str(place.model), "--features", str(place.features), "--device", "cpu")
    assert tracer_("run", str(path), *named, *unasked, "-q", "--keep-going").code in (0, 1)
    [folder] = Path("reports").glob("*/*/")
    run = Run.open(folder)
    assert not [o.reason for o in run.verdict.outcomes if o.outcome == "untested"]
    for trials in (one.trials for one in run.record.interventions.values()):
        for trial in trials.values():
            assert trial.problem is None
            assert all(clamp.n_features for clamp in trial.clamps)
    for name, prompt in run.record.prompts.items():
        for position, token in POSITIONS.get((path.stem, name), {}).items():
            assert prompt.tokens[position] == token


def test_what_is_set_to_itself_changes_nothing(stand_ins, tracer_: Command):
    place = stand_ins["meta-llama/Llama-3.2-1B"]
    named = ("--model", str(place.model), "--features", str(place.features), "--device", "cpu")
    assert (
        tracer_("run", str(FOLDER / "garden_path_llama.yaml"), *named, "-q", "--keep-going").code
        == 1
    )
    [folder] = Path("reports").glob("*/*/")
    run = Run.open(folder)
    reasons = {outcome.reason for outcome in run.verdict.outcomes}
    assert len(reasons) == 1
    assert "baseline: model says" in reasons.pop()
    clean = run.record.prompts["project"].baseline
    after = run.record.interventions["unclamped"].trials["project"].reading
    assert after.tokens[","].logit == pytest.approx(clean.tokens[","].logit, abs=1e-5)
    moved = run.record.interventions["end_it_early"].trials["project"].reading
    assert abs(moved.tokens[" was"].logit - clean.tokens[" was"].logit) > 1e-3


def test_two_features_at_one_place_count_once(stand_ins, tracer_: Command):
    """The notebook puts 10_89787 on one token from two places; the later one wins."""
    place = stand_ins["meta-llama/Llama-3.2-1B"]
    named = ("--model", str(place.model), "--features", str(place.features), "--device", "cpu")
    tracer_("run", str(FOLDER / "transfer_llama.yaml"), *named, "-q", "--keep-going")
    [folder] = Path("reports").glob("*/*/")
    clamps = Run.open(folder).record.interventions["us_to_denmark"].trials["us"].clamps
    assert {clamp.supernode: clamp.n_overridden for clamp in clamps} == {
        "us": 0,
        "scandinavia_colon": 1,
        "scandinavia": 0,
        "denmark": 0,
    }
    assert {clamp.supernode: clamp.positions for clamp in clamps}["scandinavia"] == (5,)


def test_a_clamp_is_the_same_in_bfloat16(stand_ins):
    """Its transcoders read a norm, which stays in float32; 26 layers of rounding leave a tenth."""
    place = stand_ins["google/gemma-2-2b"]
    logits = []
    for dtype in ("float32", "bfloat16"):
        spec = ModelSpec(name=str(place.model), dtype=dtype, device="cpu")
        model, features = open_both(spec, str(place.features), Silent())
        text = DECLARED["two_hop_gemma2"].prompts["dallas"].text
        ids = tuple(model.tokenizer(text)["input_ids"])
        prompt = TokenizedPrompt("dallas", text, ids, (), {}, None, {})
        clean = clean_run(model, features.basis, prompt, [10])
        row = Row({(20, 10, 15589): -60.0, (4, 10, 13154): 120.0}, "attention")
        (measured,) = run_rows(model, features.basis, clean, [row], BatchLimit(1))
        logits.append(measured.logits[0].float() - clean.logits.float())
    torch.testing.assert_close(logits[1], logits[0], atol=0.1 * logits[0].abs().max(), rtol=0)
