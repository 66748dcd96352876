"""A tiny hypothesis from file to record: resumed, locked, compared with one-by-one clamps."""

import json

import numpy as np
import pytest
from heard import Heard

import tracer.engine.measure.declared
import tracer.report.run
from tests.bench import ATOL, TINY, logits_by_hand
from tests.tiny_file import write_tiny
from tests.verdicts import make_verdict
from tracer.engine.batches import BatchLimit
from tracer.engine.clamps import assign, resolve_clamps
from tracer.engine.measure.prompts import measure_prompt
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.errors import HypothesisError, UsageError
from tracer.hypothesis.load import read
from tracer.record import files, run_folder, runs
from tracer.report.run import judge_and_save


@pytest.fixture
def file(tiny, tmp_path):
    return write_tiny(tmp_path, tiny)


def run(file, reports, **options):
    return measure(read(str(file)), reports=reports, progress=Silent(), **options)


def test_a_record_holds_what_the_model_does(file, tmp_path, bench):
    record = run_folder.read_record(run(file, tmp_path / "reports"))
    arrays = run_folder.read_arrays(tmp_path / "reports" / record.id)
    assert record.status == "complete"
    clean = bench.clean["plano"]
    clamps = resolve_clamps(
        bench.hypothesis.interventions["swap"], bench.supernodes, bench.clean, "plano"
    )
    logits = logits_by_hand(bench, "plano", assign(clamps, clean).values)
    trial = record.interventions["swap"].trials["plano"]
    for token, found in trial.reading.tokens.items():
        assert found.logit == pytest.approx(float(logits[found.id]), abs=ATOL), token
    assert trial.reading.top[0].id == int(logits.argmax())
    assert [d.factor for d in trial.doses] == [0, 1, 2, 3]
    shape = (9, len(trial.control_tokens))
    assert arrays["controls/swap/plano/logits"].shape == shape
    assert arrays["controls/swap/plano/top"].shape == (9,)


def test_the_same_input_gives_the_same_record(file, tmp_path):
    first, second = (
        run_folder.read_record(run(file, tmp_path / name)) for name in ("one", "other")
    )
    assert dropped(first) == dropped(second)


def dropped(record):
    return record.model_dump(exclude={"id", "started", "registration", "seconds", "cached", "seal"})


def test_a_killed_run_goes_on_where_it_stopped(file, tmp_path, monkeypatch):
    reports = tmp_path / "reports"
    whole = run_folder.read_record(run(file, tmp_path / "whole"))
    measured = []

    def once(bench, prompt, *others):
        if measured:
            raise KeyboardInterrupt
        measured.append(prompt)
        return measure_prompt(bench, prompt, *others)

    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", once)
    with pytest.raises(KeyboardInterrupt):
        run(file, reports)
    [stopped] = runs.find_runs(reports)
    assert stopped.status == "measuring"
    assert measured == ["dallas"]
    half = [
        stopped.folder / ".run.json.0123abcd.tmp",
        stopped.folder / "graphs" / ".a.0123abcd.tmp",
    ]
    half[1].parent.mkdir()
    for path in half:
        path.write_bytes(b"{")
    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", measure_prompt)
    folder = run(file, reports)
    assert folder == stopped.folder
    assert not any(path.exists() for path in half)
    assert dropped(run_folder.read_record(folder)) == dropped(whole)
    arrays = run_folder.read_arrays(folder)
    for key, value in run_folder.read_arrays(tmp_path / "whole" / whole.id).items():
        np.testing.assert_array_equal(arrays[key], value)


def test_fresh_does_not_continue(file, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", stop)
    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path / "reports")
    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", measure_prompt)
    run(file, tmp_path / "reports", fresh=True)
    states = sorted(entry.status for entry in runs.find_runs(tmp_path / "reports"))
    assert states == ["complete", "measuring"]


def test_a_live_run_is_left_alone(file, tmp_path, monkeypatch):
    """Another command, while this one measures its second prompt, makes a run of its own."""
    reports, heard, others = tmp_path / "reports", Heard(), []

    def meeting(bench, prompt, *more):
        if prompt == "plano" and not others:
            others.append(None)
            others[0] = measure(read(str(file)), reports=reports, progress=heard)
        return measure_prompt(bench, prompt, *more)

    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", meeting)
    first = run(file, reports)
    assert first != others[0]
    assert f"another process measures {first.name}; this becomes a run of its own" in heard.notes
    one, other = (run_folder.read_record(folder) for folder in (first, others[0]))
    assert one.status == other.status == "complete"
    assert dropped(one) == dropped(other)
    assert [p.name for p in first.parent.iterdir() if p.name.startswith(".")] == []


def test_two_that_begin_in_one_instant_are_two_runs(file, tmp_path, monkeypatch):
    reports, moment, asked = tmp_path / "reports", "tiny/20260102T030405.000Z-abcdef", []
    later = runs.new_id

    def one_instant(*about):
        asked.append(about)
        return moment if len(asked) < 4 else later(*about)

    monkeypatch.setattr(runs, "new_id", one_instant)
    first, second = run(file, reports), run(file, reports, fresh=True)
    assert first == reports / moment != second
    assert len(runs.find_runs(reports)) == 2


def test_a_run_that_was_completed_meanwhile_is_not_measured_into(file, tmp_path, monkeypatch):
    """It was unfinished when it was looked for, and complete when it was claimed."""
    reports = tmp_path / "reports"
    whole = run(file, reports)
    run_folder.write_verdict(whole, make_verdict())
    before = (whole / files.RECORD).read_bytes()
    monkeypatch.setattr(runs, "unfinished", lambda *_: [whole])
    assert run(file, reports) != whole
    assert (whole / files.RECORD).read_bytes() == before


def test_a_complete_run_that_was_not_judged_is_judged(file, tmp_path, monkeypatch):
    reports, heard = tmp_path / "reports", Heard()
    folder = run(file, reports)

    def none(*_):
        pytest.fail("was measured again")

    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", none)
    assert measure(read(str(file)), reports=reports, progress=heard) == folder
    assert f"{folder.name} was measured and not judged, which is done now" in heard.notes
    judge_and_save(folder)
    monkeypatch.setattr(tracer.engine.measure.declared, "measure_prompt", measure_prompt)
    assert run(file, reports) != folder


def test_a_kill_before_the_report_was_written_leaves_a_run_to_judge(file, tmp_path, monkeypatch):
    folder = run(file, tmp_path / "reports")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tracer.report.run, "render", killed)
    with pytest.raises(KeyboardInterrupt):
        judge_and_save(folder)
    assert run(file, tmp_path / "reports") == folder


def test_a_lock_is_reused(file, tiny, tmp_path):
    first = run(file, tmp_path / "reports")
    other = write_tiny(tmp_path, tiny, supernodes=changed_rule())
    locked = run(other, tmp_path / "reports", lock=first)
    old, new = (run_folder.read_record(each).supernodes for each in (first, locked))
    assert old["california"] == new["california"]
    assert old["texas"].model_copy(update={"is_foreign": True}) == new["texas"]


def test_a_lock_that_takes_activations_from_a_prompt_of_its_own_is_refused(file, tiny, tmp_path):
    first = run(file, tmp_path / "reports")
    prompts = {name: each for name, each in TINY["prompts"].items() if name != "oakland"}
    prompts["fresno"] = {"city": "Fresno"}
    nodes = json.loads(json.dumps(TINY["supernodes"]).replace("oakland", "fresno"))
    other = write_tiny(tmp_path, tiny, prompts=prompts, supernodes=nodes)
    with pytest.raises(UsageError, match="has california with the activations of prompt 'oakland'"):
        run(other, tmp_path / "reports", lock=first)


def test_without_a_lock_a_run_says_what_changed(file, tiny, tmp_path):
    first = run_folder.read_record(run(file, tmp_path / "reports"))
    other = write_tiny(tmp_path, tiny, supernodes=changed_rule())
    second = run_folder.read_record(run(other, tmp_path / "reports"))
    [note] = second.lock_notes
    assert note.startswith(f"texas: 2 of 4 features of run {first.id} are gone and 0 are new")


def changed_rule():
    texas = {"select": TINY["supernodes"]["texas"]["select"] | {"top": 2}}
    return TINY["supernodes"] | {"texas": texas}


def test_a_lock_of_other_weights_is_refused(file, tiny_llama, tmp_path):
    first = run(file, tmp_path / "reports")
    with pytest.raises(UsageError, match="was found on other weights"):
        run(write_tiny(tmp_path, tiny_llama), tmp_path / "reports", lock=first)


def test_a_lock_found_on_held_out_prompts_is_refused(file, tiny, tmp_path):
    first = run(file, tmp_path / "reports")
    prompts = {"a": {"city": "Plano"}, "oakland": {"city": "Oakland"}}
    prompts |= {"dallas": {"city": "Waco"}, "plano": {"city": "Dallas", "held_out": True}}
    interventions = {"swap": TINY["interventions"]["swap"] | {"prompts": ["a", "plano"]}}
    other = write_tiny(tmp_path, tiny, prompts=prompts, interventions=interventions)
    with pytest.raises(UsageError, match="was found on prompt 'plano', held out here"):
        run(other, tmp_path / "reports", lock=first)


def test_features_the_model_does_not_have_are_told_at_once(tiny, tmp_path):
    supernodes = TINY["supernodes"] | {
        "texas": {"features": ["7_1", "0_999", "1_3"], "at": "city", "source": ["dallas"]},
        "california": {"select": TINY["supernodes"]["california"]["select"] | {"layers": [0, 40]}},
    }
    file = write_tiny(tmp_path, tiny, supernodes=supernodes)
    with pytest.raises(HypothesisError) as caught:
        run(file, tmp_path / "reports")
    text = str(caught.value)
    assert "'7_1': layer 7 is out of range; the last is 1." in text
    assert "'0_999': layer 0 has features 0 to" in text
    assert "layer 40 is out of range; the last is 1." in text
    assert not (tmp_path / "reports").exists()


def test_controls_are_drawn_only_where_they_are_read(tiny, tmp_path):
    swap = TINY["interventions"]["swap"] | {"expect": [{"top_is_not": " Austin"}]}
    file = write_tiny(tmp_path, tiny, interventions={"swap": swap})
    record = run_folder.read_record(run(file, tmp_path / "reports"))
    assert all(t.n_controls == 0 for t in record.interventions["swap"].trials.values())


def test_memory_that_ran_out_is_noted(bench):
    limit = BatchLimit(3)
    found = measure_prompt(bench, "dallas", limit, lambda n: None)
    whole = measure_prompt(bench, "dallas", BatchLimit(64), lambda n: None)
    a, b = found.trials["swap"].reading.tokens, whole.trials["swap"].reading.tokens
    assert a.keys() == b.keys()
    for token in a:
        assert a[token].logit == pytest.approx(b[token].logit, abs=ATOL)
