"""A run that reads its rows from the cache is, to the last bit, the run that measures them."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch

import tracer.engine.forward
import tracer.engine.measure.rows
import tracer.engine.run
from tests.bench import TINY, make_bench
from tests.heard import Heard
from tests.test_run import dropped
from tests.tiny_file import write_tiny
from tracer.engine.batches import BatchLimit, Row
from tracer.engine.cache import ROOMS, MeasurementCache, read_kept, rows_key
from tracer.engine.forward import read_of_rows
from tracer.engine.measure.rows import read_rows
from tracer.engine.model.model import Model
from tracer.engine.model.sites import Site
from tracer.engine.run import measure
from tracer.engine.session import open_both
from tracer.engine.store import Store
from tracer.engine.surroundings import code_hash
from tracer.hypothesis.load import read
from tracer.record import run_folder

SWAP = TINY["interventions"]["swap"]
OFF = {"prompts": ["dallas", "oakland"], "clamp": {"texas": 0}, "expect": [{"top_is_not": "x"}]}


OPENED = {}
"""Models that were opened here, by dtype: opening one takes longer than running it."""


def opened_once(spec, features, progress):
    if (spec, features) not in OPENED:
        OPENED[spec, features] = open_both(spec, features, progress)
    return OPENED[spec, features]


class Lab:
    """Runs variants of a hypothesis with a cache, and counts the rows that reach the model."""

    def __init__(self, model, folder, monkeypatch):
        self.model, self.folder, self.measured, self.n = model, folder, 0, 0
        self.store = Store(folder / "kept")

        def counted(*arguments):
            for measured in read_of_rows(*arguments):
                self.measured += len(measured.numbers)
                yield measured

        monkeypatch.setattr(tracer.engine.measure.rows, "read_of_rows", counted)
        monkeypatch.setattr(tracer.engine.run, "open_both", opened_once)

    def run(self, *, cached=True, **changes):
        """(record, arrays, rows measured, what was told)."""
        path = write_tiny(self.folder, self.model, **changes)
        self.n += 1
        before, heard = self.measured, Heard()
        folder = measure(
            read(str(path)),
            reports=self.folder / f"reports{self.n}",
            store=self.store if cached else None,
            progress=heard,
        )
        return (
            run_folder.read_record(folder),
            run_folder.read_arrays(folder),
            self.measured - before,
            [note for note in heard.notes if "the model says" not in note],
        )


@pytest.fixture
def lab(tiny, tmp_path, monkeypatch):
    return Lab(tiny, tmp_path, monkeypatch)


def assert_same(one, other):
    """But for what the cache knows of earlier claims."""
    (record, arrays, *_), (record_2, arrays_2, *_) = one, other
    known = record.known_before
    assert dropped(record) == dropped(record_2.model_copy(update={"known_before": known}))
    assert arrays.keys() == arrays_2.keys()
    for name, array in arrays.items():
        assert array.tobytes() == arrays_2[name].tobytes(), name


def test_the_second_run_measures_nothing_and_is_the_same(lab):
    first, second = lab.run(), lab.run()
    assert (first[2], second[2]) == (28, 0)
    assert first[0].cached == ()
    assert second[0].cached == ("swap/dallas", "swap/plano")
    assert second[3] == ["2 of 2 trials came from the cache"]
    assert_same(first, second)
    assert_same(second, lab.run(cached=False))


def test_a_changed_threshold_measures_nothing(lab):
    lab.run()
    stricter = SWAP | {"expect": [SWAP["expect"][0] | {"beats_controls": 0.5}]}
    assert lab.run(interventions={"swap": stricter})[2] == 0


def test_a_trial_that_was_measured_when_something_else_was_expected_is_told(lab):
    """On held-out prompts; whatever the file and the claim are called, with whatever controls."""
    assert lab.run()[0].known_before == ()
    stricter = SWAP | {"expect": [SWAP["expect"][0] | {"beats_controls": 0.5}]}
    for more in ({}, {}, {"seed": 5}, {"controls": {"random": 19}}):
        changed = lab.run(hypothesis="another", interventions={"other": stricter}, **more)[0]
        assert changed.known_before == ("other/plano",)
    assert lab.run()[0].known_before == ()
    assert lab.run(seed=3)[0].known_before == ()


def test_a_prompt_is_known_where_another_one_that_judged_is_left_out(lab):
    both = SWAP | {"prompts": [*SWAP["prompts"], "el_paso"]}
    more = {"prompts": TINY["prompts"] | {"el_paso": {"city": "El Paso", "held_out": True}}}
    assert lab.run(interventions={"swap": both}, **more)[0].known_before == ()
    assert lab.run(interventions={"swap": SWAP})[0].known_before == ("swap/plano",)
    fewer = SWAP | {"prompts": ["plano"]}
    assert lab.run(interventions={"swap": fewer})[0].known_before == ("swap/plano",)


def test_only_an_added_intervention_is_measured_though_it_asks_about_more(lab):
    lab.run()
    more = {"swap": SWAP, "off": OFF}
    found = lab.run(interventions=more)
    assert found[2] == 2
    assert found[3] == ["2 of 4 trials came from the cache"]
    assert_same(found, lab.run(interventions=more, cached=False))
    again = lab.run(interventions=more)
    assert again[2] == 0
    assert_same(found, again)
    assert_same(lab.run(), lab.run(cached=False))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"controls": {"random": 10}},
        {"interventions": {"swap": SWAP | {"clamp": {"texas": 0, "california": 1.25}}}},
        {"interventions": {"swap": SWAP | {"freeze": "attention"}}},
        {"template": "a capital of {city} is"},
        {"model": {"name": "", "device": "cpu", "dtype": "float64"}},
    ],
)
def test_what_matters_is_measured_anew(lab, changes):
    lab.run()
    if "model" in changes:
        changes = {"model": changes["model"] | {"name": str(lab.model)}}
    found = lab.run(**changes)
    assert found[0].cached == ()
    assert_same(found, lab.run(**changes, cached=False))


def test_a_run_killed_between_interventions_keeps_the_first(lab, monkeypatch):
    def once(*arguments):
        if lab.measured:
            raise KeyboardInterrupt
        return counted(*arguments)

    counted = tracer.engine.measure.rows.read_of_rows
    more = {"off": OFF, "swap": SWAP}
    monkeypatch.setattr(tracer.engine.measure.rows, "read_of_rows", once)
    with pytest.raises(KeyboardInterrupt):
        lab.run(interventions=more)
    monkeypatch.setattr(tracer.engine.measure.rows, "read_of_rows", counted)
    found = lab.run(interventions=more)
    assert found[0].cached == ("off/dallas",)
    assert_same(found, lab.run(interventions=more, cached=False))


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b""])
def test_a_damaged_entry_is_measured_and_written_again(lab, damage):
    first = lab.run()
    for path in lab.store.folder.rglob("*.safetensors"):
        path.write_bytes(damage(path.read_bytes()))
    second = lab.run()
    assert (second[2], lab.run()[2]) == (28, 0)
    assert_same(first, second)


def test_a_sound_entry_of_other_rows_is_not_taken(bench, tmp_path):
    clean, rows = bench.clean["dallas"], [Row({(0, 3, 1): 2.0}), Row({(1, 4, 5): 0.0})]
    cache = MeasurementCache(Store(tmp_path), ("here",))
    key = rows_key(cache, clean, rows, 8)
    read_rows(bench.model, bench.basis, clean, rows, BatchLimit(8), cache, lambda n: None)
    assert read_kept(cache, key, rows) is not None
    assert read_kept(cache, key, rows[:1]) is None
    assert read_kept(cache, key, [rows[0], Row({}, is_control=True)]) is None
    assert read_kept(cache, key, [rows[0], Row({}, read=((0, 3, 1),))]) is None
    entry = cache.store.read(key)
    cache.store.write(key, entry.arrays, {"tokens": 3})
    assert read_kept(cache, key, rows) is None


def test_rows_that_did_not_fit_together_are_not_kept(bench, tmp_path, monkeypatch):
    clean, cache = bench.clean["dallas"], MeasurementCache(Store(tmp_path), ("here",))
    rows = [Row({(0, 3, n): 2.0}) for n in range(4)]
    forward = Model.forward

    def small(self, *arguments, rows=1, **more):
        if rows > 2:
            raise MemoryError
        return forward(self, *arguments, rows=rows, **more)

    monkeypatch.setattr(Model, "forward", small)
    limit = BatchLimit(4)
    read_rows(bench.model, bench.basis, clean, rows, limit, cache, lambda n: None)
    assert (limit.rows, cache.store.size().entries) == (2, 0)
    read_rows(bench.model, bench.basis, clean, rows, limit, cache, lambda n: None)
    assert cache.store.size().entries == 1


def test_logits_are_made_again_to_the_last_bit(each_model):
    """Whatever stands after the unembedding: biases, soft caps."""
    ids = each_model.tokenizer("the capital of Dallas is", return_tensors="pt")["input_ids"][0]
    for rows in (1, 7, 11):
        ends = []
        hooks = [
            (Site("resid_pre", 1), lambda x: x * (1 + ones(x) / 10)),
            (Site("unembed_in", 0), lambda x, ends=ends: ends.append(x[:, -1])),
        ]
        logits = each_model.forward(ids, hooks, rows=rows)
        np.testing.assert_array_equal(
            each_model.unembed(ends[0]).detach().numpy(), logits.detach().numpy()
        )


def test_logits_of_a_few_rows_are_those_of_each_alone(each_model):
    """And of many, though these three take the product with the unembedding in three ways."""
    d_model = each_model.record.d_model
    ends = torch.randn(11, d_model, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([each_model.unembed(end[None]) for end in ends])
    for n in (2, 8, 11):
        torch.testing.assert_close(each_model.unembed(ends[:n]), alone[:n], atol=1e-5, rtol=1e-5)


def ones(x):
    """Another number for every row."""
    return x.new_tensor(range(len(x)))[:, None, None]


def test_reduced_precision_comes_back_to_the_last_bit(tiny, tmp_path):
    bench = make_bench(tiny, dtype="bfloat16")
    clean, cache = bench.clean["dallas"], MeasurementCache(Store(tmp_path), ("here",))
    rows = [Row({(0, 3, n): 2.0}, is_control=n > 1) for n in range(5)]

    def columns(tokens, cache):
        bench.clean["dallas"].prompt.asked.clear()
        bench.clean["dallas"].prompt.asked.update(tokens)
        model, basis = bench.model, bench.basis
        found = read_rows(model, basis, clean, rows, BatchLimit(8), cache, lambda n: None)
        kept = found.result
        return found.from_cache, kept.readings, [c.numpy().tobytes() for c in kept.columns]

    few, more = {"a": 3}, {"b": 5, "a": 3}
    assert not columns(few, cache)[0]
    from_cache, *found = columns(more, cache)
    assert from_cache
    assert found == list(columns(more, None)[1:])


def test_a_changed_line_of_engine_or_record_makes_other_entries(tmp_path):
    package = copytree(Path(tracer.__file__).parent, tmp_path / "tracer")
    seen = {code_hash(package, ROOMS)}
    assert code_hash(Path(tracer.__file__).parent, ROOMS) in seen
    for name in ("engine/forward.py", "engine/attribution/sweep.py", "record/graph/prune.py"):
        with open(package / name, "a") as file:
            file.write("# changed\n")
        seen.add(code_hash(package, ROOMS))
    (package / "engine" / "new.py").touch()
    seen.add(code_hash(package, ROOMS))
    assert len(seen) == 5
    with open(package / "report" / "render.py", "a") as file:
        file.write("# nothing that a number depends on\n")
    assert code_hash(package, ROOMS) in seen
