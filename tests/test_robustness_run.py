"""Variations measured inside a run: each as a file of its own would be, each once."""

import pytest
import yaml

import tracer.engine.measure.declared
import tracer.engine.variants
from tests.bench import TINY
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.engine.store import Store
from tracer.evidence.judge import judge_run
from tracer.hypothesis.load import read
from tracer.record import run_folder, runs
from tracer.record.run_folder import variant_folder
from tracer.report.run import judge_and_save

ROBUSTNESS = {
    "templates": {"asked": "{city} has this capital:"},
    "seeds": [0, 1],
    "sizes": [2, 4],
    "leave_one_out": True,
    "expect": [{"same": 0.5}],
}
SUPERNODES = TINY["supernodes"] | {
    "texas": {"select": TINY["supernodes"]["texas"]["select"] | {"against": ["oakland", "houston"]}}
}
BASE = TINY | {
    "prompts": TINY["prompts"] | {"houston": {"city": "Houston"}},
    "supernodes": SUPERNODES,
}
PLAIN = {"swap": TINY["interventions"]["swap"] | {"expect": [{"top_is_not": " Austin"}]}}
NAMES = ["template-asked", "seed-0", "seed-1", "size-2", "size-4"]
NAMES += ["without-dallas", "without-oakland", "without-houston"]


def run(folder, tiny, name="tiny", store=None, lock=None, fresh=False, **changes):
    data = BASE | {"model": {"name": str(tiny), "device": "cpu"}} | changes
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    options = {"store": store, "lock": lock, "fresh": fresh}
    return measure(read(str(path)), reports=folder / name, progress=Silent(), **options)


@pytest.fixture
def varied(tiny, tmp_path):
    return run(tmp_path, tiny, robustness=ROBUSTNESS)


def numbers(record):
    return record.interventions, record.supernodes, record.prompts


def test_every_variation_is_recorded_in_order(varied):
    record = run_folder.read_record(varied)
    assert list(record.variants) == NAMES
    skipped = {name: each.skipped for name, each in record.variants.items() if each.skipped}
    assert skipped == {
        "seed-0": "it is the file's own seed",
        "size-4": "it is the file's own size",
        "without-dallas": "every rule that names it has no other prompt in its place",
    }
    assert list(run_folder.read_variants(varied, record)) == [n for n in NAMES if n not in skipped]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("template-asked", {"template": "{city} has this capital:"}),
        ("seed-1", {"seed": 1}),
        (
            "size-2",
            {
                "supernodes": {
                    name: {"select": node["select"] | {"top": 2}}
                    for name, node in SUPERNODES.items()
                }
            },
        ),
        (
            "without-oakland",
            {
                "supernodes": SUPERNODES
                | {"texas": {"select": SUPERNODES["texas"]["select"] | {"against": ["houston"]}}}
            },
        ),
    ],
)
def test_a_variation_is_what_the_changed_file_would_give(varied, tiny, tmp_path, name, changes):
    alone = run(tmp_path, tiny, "alone", **changes)
    inner = variant_folder(varied, name)
    assert numbers(run_folder.read_record(inner)) == numbers(run_folder.read_record(alone))
    arrays, expected = run_folder.read_arrays(inner), run_folder.read_arrays(alone)
    assert arrays.keys() == expected.keys()
    assert all((arrays[key] == expected[key]).all() for key in arrays)


def test_the_verdict_counts_the_same_verdicts(varied):
    settled = judge_and_save(varied)
    found = settled.verdict.robustness
    inner = run_folder.read_variants(varied, settled.record)
    verdicts = {name: judge_run(each.record, each.arrays).verdict for name, each in inner.items()}
    assert {each.name: each.verdict for each in found.variants} == verdicts
    plain = judge_run(settled.record, settled.arrays).verdict
    assert found.verdict == plain
    assert run_folder.read_verdict(varied) == settled.verdict
    assert [o.intervention for o in settled.verdict.outcomes][-1] == "robustness"


def test_a_killed_run_takes_up_the_rest(tiny, tmp_path, monkeypatch):
    real, seen = tracer.engine.measure.declared.measure_declared, []

    def killed(*args):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(args[0].name)
        return real(*args)

    monkeypatch.setattr(tracer.engine.variants, "measure_declared", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tiny, robustness=ROBUSTNESS)
    [stopped] = runs.find_runs(tmp_path / "tiny")
    record = run_folder.read_record(stopped.folder)
    reason = judge_run(record, run_folder.read_arrays(stopped.folder)).reason
    assert "the run is incomplete: 3 of 8 variations measured" in reason
    monkeypatch.setattr(
        tracer.engine.variants, "measure_declared", lambda *a: seen.append("") or real(*a)
    )
    folder = run(tmp_path, tiny, robustness=ROBUSTNESS)
    assert folder == stopped.folder
    assert len(seen) == 2 + 3
    assert run_folder.read_record(folder).status == "complete"


def test_what_cannot_be_measured_is_told_and_the_rest_goes_on(tiny, tmp_path):
    template = {"long": "{city} " + "word " * 4000}
    folder = run(tmp_path, tiny, robustness={"templates": template, "seeds": [1]})
    record = run_folder.read_record(folder)
    assert "tokens" in record.variants["template-long"].problem
    assert record.variants["seed-1"].fingerprint is not None
    found = judge_and_save(folder).verdict.robustness
    assert found.total.n_open >= 1


def test_unchanged_rows_come_from_the_cache(tiny, tmp_path):
    store = Store(tmp_path / "kept")
    first = run(tmp_path, tiny, store=store, robustness={"seeds": [1]})
    templates = {"seeds": [1], "templates": {}}
    again = run(tmp_path, tiny, store=store, fresh=True, robustness=templates)
    other = run(tmp_path, tiny, "other", store=store, robustness={"seeds": [1, 2]})
    assert run_folder.read_record(variant_folder(first, "seed-1")).cached == ()
    for folder in (again, other):
        assert len(run_folder.read_record(variant_folder(folder, "seed-1")).cached) == 2
    assert run_folder.read_record(variant_folder(other, "seed-2")).cached == ()


def test_sizes_beyond_what_the_rules_find_are_one_variation(tiny, tmp_path):
    folder = run(
        tmp_path,
        tiny,
        robustness={"sizes": [10_000, 20_000]},
        controls={"random": 0},
        interventions=PLAIN,
    )
    first, second = run_folder.read_record(folder).variants.values()
    assert first.fingerprint is not None
    assert second.skipped == "the rules find the same features as in size-10000"


def test_supernodes_of_another_run_follow_no_rule(tiny, tmp_path, varied):
    section = {"sizes": [2], "leave_one_out": True, "templates": ROBUSTNESS["templates"]}
    folder = run(tmp_path, tiny, "locked", lock=varied, robustness=section)
    record = run_folder.read_record(folder)
    by_rule = [name for name in record.variants if name not in ("template-asked", "without-dallas")]
    assert {record.variants[name].skipped for name in by_rule} == {
        "the supernodes were taken from another run, so no rule was followed"
    }
    inner = run_folder.read_record(variant_folder(folder, "template-asked"))
    assert inner.supernodes == record.supernodes
