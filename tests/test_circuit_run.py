"""A tiny hypothesis with a circuit, from file to report: resumed, judged again, refused."""

import numpy as np
import pytest
import yaml

import tracer.engine.measure.circuits
import tracer.engine.measure.declared
from tests.bench import TINY
from tests.test_measuring_circuits import CIRCUIT, PROMPTS
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.errors import HypothesisError, UsageError
from tracer.evidence.judge import judge_run
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.record import run_folder
from tracer.report.run import judge_and_save

EXPECTED = [
    {"faithfulness": {"above": -5}},
    {"sufficient": 0.5, "share": 0.5},
    {"minimal": 0.05, "share": 0.5},
]


def write(folder, model, **circuit):
    data = TINY | {
        "model": {"name": str(model), "device": "cpu"},
        "prompts": PROMPTS,
        "circuit": {"states": CIRCUIT | {"expect": EXPECTED} | circuit},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def run(file, reports):
    return measure(read(str(file)), reports=reports, progress=Silent())


def test_a_killed_run_goes_on_and_gives_the_same(tiny, tmp_path, monkeypatch):
    file = write(tmp_path, tiny)
    whole = run(file, tmp_path / "whole")
    real, seen = tracer.engine.measure.circuits.measure_circuit, []

    def killed(bench, circuit, prompt, limit, advance):
        if seen:
            raise KeyboardInterrupt
        seen.append(prompt)
        return real(bench, circuit, prompt, limit, advance)

    monkeypatch.setattr(tracer.engine.measure.declared, "measure_circuit", killed)
    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path / "other")
    (folder,) = (tmp_path / "other" / "tiny").glob("*/")
    stopped = run_folder.read_record(folder)
    assert list(stopped.circuit["states"].trials) == ["dallas"]
    reason = judge_run(stopped, run_folder.read_arrays(folder)).reason
    assert "the circuit states is not measured on every prompt" in reason
    monkeypatch.setattr(
        tracer.engine.measure.declared,
        "measure_circuit",
        lambda bench, circuit, prompt, *more: (
            real(bench, circuit, prompt, *more) if prompt == "plano" else pytest.fail(prompt)
        ),
    )
    again = run(file, tmp_path / "other")
    assert again == folder
    assert run_folder.read_record(again).circuit == run_folder.read_record(whole).circuit
    ours, theirs = run_folder.read_arrays(again), run_folder.read_arrays(whole)
    mine = [key for key in theirs if key.startswith("circuit/")]
    assert len(mine) == 2 * 5
    assert all(np.array_equal(ours[key], theirs[key]) for key in mine)


def test_it_is_judged_and_shown(tiny, tmp_path):
    settled = judge_and_save(run(write(tmp_path, tiny), tmp_path / "reports"))
    mine = [o for o in settled.verdict.outcomes if o.intervention == "states"]
    assert [o.split for o in mine] == ["discovery", "held out"] * 3
    assert all(o.outcome in ("held", "failed", "untested") for o in mine)
    page = (settled.path / "report.html").read_text()
    assert "with everything else ablated" in page and "The diamond is the declared circuit" in page


def test_expectations_may_change_afterwards_and_measurements_may_not(tiny, tmp_path):
    folder = run(write(tmp_path, tiny), tmp_path / "reports")
    record, arrays = run_folder.read_record(folder), run_folder.read_arrays(folder)
    data = record.hypothesis.model_dump(mode="json", by_alias=True, exclude_none=True)

    def judged(**changes):
        circuit = data["circuit"]["states"] | changes
        other = Hypothesis.model_validate(data | {"circuit": {"states": circuit}})
        return judge_run(record, arrays, hypothesis=other)

    stricter = judged(expect=[{"faithfulness": {"above": 0.9}}, *EXPECTED[1:]])
    assert stricter.post_hoc[0].startswith(
        "circuit.states.expect[0].faithfulness.above: registered"
    )
    fewer = judged(prompts=["plano"])
    assert fewer.post_hoc == ("circuit.states.prompts.dallas: left out",)
    with pytest.raises(UsageError, match=r"circuit.states.random"):
        judged(random=9)
    with pytest.raises(UsageError, match=r"circuit.states.reference"):
        judged(reference=["oakland"])


def test_a_layer_that_the_model_lacks_is_told(tiny, tmp_path):
    file = write(tmp_path, tiny, within={"layers": [0, 2]})
    with pytest.raises(HypothesisError, match="layer 2 is out of range; the last is 1"):
        run(file, tmp_path / "reports")
