"""Every hypothesis of the library loads, and on the embedded model comes out as it says."""

from pathlib import Path

import pytest

import tracer
from tracer.hypothesis.load import read

FILES = sorted((Path(__file__).parent.parent / "hypotheses").glob("*.yaml"))
QUICK = (
    "capitals_end",
    "capitals_mediation",
    "months_pairs",
    "multilingual",
    "multilingual_limits",
    "multilingual_words",
    "shared_languages",
    "two_hop",
    "two_hop_ablation",
)
"""Run by every test session; all of them take twenty minutes: `pytest -m library`."""
RUNS = [
    pytest.param(
        path,
        id=path.stem,
        marks=[pytest.mark.model] + ([] if path.stem in QUICK else [pytest.mark.library]),
    )
    for path in FILES
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_loads(path):
    file = read(str(path))
    assert file.hypothesis.hypothesis == path.stem
    assert any(prompt.held_out for prompt in file.hypothesis.prompts.values())


@pytest.mark.parametrize("path", RUNS)
def test_it_comes_out_as_stated(path, tmp_path):
    run = tracer.run(path, reports=tmp_path, device="cpu")
    assert run.verdict.as_expected, str(run)


@pytest.mark.model
def test_the_flagship_reaches_what_it_promises(tmp_path):
    path = FILES[0].parent / "two_hop.yaml"
    record = tracer.run(path, reports=tmp_path, device="cpu").record
    trials = record.interventions["texas_to_california"].trials
    held_out = [t for name, t in trials.items() if record.prompts[name].held_out]
    assert trials["dallas"].reading.top[0].token == " Sacramento"
    assert len(held_out) == 9
    assert sum(t.reading.top[0].token == " Sacramento" for t in held_out) >= 8
    before, after = record.prompts["dallas"].baseline.tokens, trials["dallas"].reading.tokens
    gained = [t[" Sacramento"].logit - t[" Austin"].logit for t in (after, before)]
    assert gained[0] - gained[1] > 3
