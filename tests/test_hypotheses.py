"""Every hypothesis of the library loads, and on the embedded model comes out as it says."""

from pathlib import Path

import pytest

import tracer
from tracer.hypothesis.load import read

FILES = sorted((Path(__file__).parent.parent / "hypotheses").glob("*.yaml"))
QUICK = "two_hop"
"""Run by every test session; all of them take twenty minutes: `pytest -m library`."""
RUNS = [
    pytest.param(
        path,
        id=path.stem,
        marks=[pytest.mark.model] + ([] if path.stem == QUICK else [pytest.mark.library]),
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
    if path.stem == QUICK:
        reaches_what_it_promises(run)


def reaches_what_it_promises(run):
    """The flagship, by its record alone."""
    assert run.verdict.verdict == "confirmed"
    record = run.record
    assert all(node.select.is_blind for node in record.hypothesis.supernodes.values())
    trials = record.interventions["texas_to_california"].trials
    assert len(trials) == 9 and all(record.prompts[name].held_out for name in trials)
    assert sum(t.reading.top[0].token == " Sacramento" for t in trials.values()) >= 8
    capitals = {name: spec.answer for name, spec in record.hypothesis.prompts.items()}
    concepts = record.hypothesis.swaps["states"].concepts
    swaps = {n: i for n, i in record.interventions.items() if n.startswith("states.")}
    assert len(swaps) == 20
    n_swapped = sum(
        trial.reading.top[0].token == capitals[concepts[name.rsplit("-", 1)[1]][0]]
        for name, made in swaps.items()
        for trial in made.trials.values()
    )
    assert n_swapped >= 0.8 * sum(len(made.trials) for made in swaps.values())
