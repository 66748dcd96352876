"""A run that is copied whole from the cache is, to the last bit, the run that measures it."""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import pytest
from safetensors.numpy import load_file, save_file

import tracer.engine.known_run
import tracer.engine.surroundings
import tracer.engine.variants
from tests.bench import TINY
from tests.heard import Heard
from tests.test_cache_steps import CHANGES, STEPS, SWAP
from tests.test_run import dropped
from tests.tiny_file import write_tiny
from tracer.engine.batches import BatchLimit
from tracer.engine.known_run import measured_once
from tracer.engine.run import measure
from tracer.engine.store import Store
from tracer.engine.surroundings import own_code, surroundings
from tracer.errors import EngineError
from tracer.hypothesis.load import read
from tracer.record import run_folder
from tracer.report.render import render
from tracer.report.run import Run, judge_and_save

VARIED = STEPS | {"robustness": {"seeds": [1], "expect": [{"same": 0.5}]}}
PROCESS = ["a processor", 2]


class Missed(BaseException):
    """Nothing was found, and it would be measured now."""


def once(
    path, folder, *, store, reports="reports", process=PROCESS, keep_going=False, measures=True
):
    """The folder of a run, and what was heard of it."""
    heard, file = Heard(), read(str(path))

    def measured():
        if not measures:
            raise Missed
        return measure(
            file,
            reports=folder / reports,
            keep_going=keep_going,
            store=store,
            progress=heard,
        )

    made = measured_once(
        file,
        reports=folder / reports,
        fresh=False,
        keep_going=keep_going,
        store=store,
        process=process,
        progress=heard,
        measure=measured,
    )
    return made, heard


@pytest.fixture(scope="module")
def kept(tiny, tmp_path_factory):
    """A run of every section that was measured and kept: its file, folder, store and record."""
    folder = tmp_path_factory.mktemp("known")
    path, store = write_tiny(folder, tiny, **VARIED), Store(folder / "kept")
    made, _ = once(path, folder, store=store)
    judge_and_save(made)
    return SimpleNamespace(path=path, folder=folder, store=store, made=made)


FOLDERS = (f"reports{n}" for n in count())


def is_found(kept, path=None, **options):
    options = {"reports": next(FOLDERS)} | options
    try:
        once(path or kept.path, kept.folder, store=kept.store, measures=False, **options)
    except Missed:
        return False
    return True


def pictured(folder):
    """The report with what tells runs of the same measurements apart taken out."""
    record = run_folder.read_record(folder)
    plain = record.model_copy(update={"id": "x", "started": "x", "seconds": {}})
    run = Run.open(folder)
    return render(plain, run.verdict, run.arrays)


def files_of(folder, but=("run.json", "verdict.json", "report.html")):
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in but)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_copy_is_what_measuring_gives(kept):
    copied, heard = once(kept.path, kept.folder, store=kept.store, reports="other", measures=False)
    again = measure(
        read(str(kept.path)), reports=kept.folder / "again", store=kept.store, progress=Heard()
    )
    one, other = run_folder.read_record(copied), run_folder.read_record(again)
    assert one.cached == other.cached == ("swap/dallas", "swap/plano")
    assert "2 of 2 trials came from the cache" in heard.notes
    assert dropped(one) == dropped(other)
    assert files_of(copied) == files_of(again) != {}
    assert pictured(copied) == pictured(again)
    first, second = (
        run_folder.read_record(run_folder.variant_folder(folder, "seed-1"))
        for folder in (copied, again)
    )
    assert first.id == f"{one.id}/variants/seed-1" and first.cached == second.cached != ()
    assert dropped(first) == dropped(second)
    assert not run_folder.is_edited(copied)
    assert one.id != run_folder.read_record(kept.made).id and one.registration is not None


def test_a_copy_says_how_it_differs_from_the_run_before_it_there(kept, tmp_path):
    """A registration, lock notes, file and overrides are of the copy, not of what was copied."""
    reports = tmp_path / "reports"
    texas = {"select": TINY["supernodes"]["texas"]["select"] | {"top": 2}}
    changed = write_tiny(
        tmp_path,
        Path(read(str(kept.path)).hypothesis.model_spec.name),
        supernodes=TINY["supernodes"] | {"texas": texas},
    )
    measure(read(str(changed)), reports=reports, progress=Heard())
    copied, _ = once(kept.path, tmp_path, store=kept.store, measures=False)
    record = run_folder.read_record(copied)
    assert record.lock_notes[0].startswith("texas: 0 of 2 features of run")
    assert "top: 2" in record.registration.declared
    assert record.file == str(kept.path)


def test_nothing_heavy_is_imported_for_a_copy(kept):
    program = f"""
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "transformer_lens"]))
from pathlib import Path
from tracer.engine.known_run import measured_once
from tracer.engine.progress import Silent
from tracer.engine.store import Store
from tracer.hypothesis.load import read
from tracer.report.run import judge_and_save
folder = Path({str(kept.folder)!r})
judge_and_save(measured_once(
    read(str(folder / "tiny.yaml")), reports=folder / "light", fresh=False, keep_going=False,
    store=Store(folder / "kept"), process={PROCESS!r}, progress=Silent(), measure=exit,
))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list((kept.folder / "light").glob("tiny/*/report.html"))


MORE = {
    "a threshold": {
        "interventions": {"swap": SWAP | {"expect": [SWAP["expect"][0] | {"beats_controls": 0.5}]}}
    },
    "the claim": {"claim": "another one"},
    "how many controls": {"controls": {"random": 10}},
    "what is varied": {"robustness": VARIED["robustness"] | {"seeds": [2]}},
    "an answer": {
        "prompts": STEPS["prompts"] | {"plano": TINY["prompts"]["plano"] | {"answer": " of"}}
    },
    "the number type": {"model": {"dtype": "float64"}},
    "a function in Python": {"interventions": {"swap": SWAP | {"expect": [{"python": "told"}]}}},
}


@pytest.fixture
def told():
    def told(trial):
        return True

    tracer.expectation(told)


@pytest.mark.parametrize("change", [*CHANGES, *MORE])
def test_a_change_of_the_file_is_seen(kept, tiny, tmp_path, change, told):
    changed = MORE[change] if change in MORE else CHANGES[change][0]
    if "model" in changed:
        changed = {"model": changed["model"] | {"name": str(tiny), "device": "cpu"}}
    path = write_tiny(tmp_path, tiny, **VARIED | changed)
    assert is_found(kept) and not is_found(kept, path)


def test_a_change_of_anything_else_is_seen(kept, tiny, tmp_path, monkeypatch):
    assert is_found(kept)
    assert not is_found(kept, process=[*PROCESS, "more"])
    assert not is_found(kept, keep_going=True)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        other = copytree(tiny, tmp_path / name)
        if name == "model.safetensors":
            weights = load_file(other / name)
            save_file({key: 1.01 * x for key, x in weights.items()}, other / name)
        else:
            (other / name).write_text((other / name).read_text() + " ")
        assert not is_found(kept, write_tiny(tmp_path, other, **VARIED))
    real = own_code
    monkeypatch.setattr(tracer.engine.known_run, "own_code", lambda *a: real(*a) + "x")
    assert not is_found(kept)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_where_a_gpu_may_be_the_model_is_opened(kept, tiny, tmp_path, monkeypatch, device):
    path = write_tiny(tmp_path, tiny, **VARIED | {"model": {"name": str(tiny), "device": device}})
    key_of = tracer.engine.known_run._key  # noqa: SLF001 # nothing was kept of these
    for may_have in (True, False):
        monkeypatch.setattr(tracer.engine.known_run, "may_have_gpu", lambda x=may_have: x)
        key = key_of(read(str(path)).hypothesis, PROCESS, Heard(), keep_going=False)
        assert (key is not None) == (device == "auto" and not may_have)


def test_what_a_process_is_like_is_seen(tmp_path, monkeypatch):
    torch = SimpleNamespace(get_num_threads=lambda: 7)
    monkeypatch.setitem(sys.modules, "torch", torch)
    seen = [surroundings()]
    assert seen == [surroundings()]
    for change in (
        lambda: monkeypatch.setenv("OMP_NUM_THREADS", "17"),
        lambda: monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default"),
        lambda: monkeypatch.setenv("MKL_CBWR", "COMPATIBLE"),
        lambda: monkeypatch.setattr(torch, "get_num_threads", lambda: 8),
        lambda: monkeypatch.delitem(sys.modules, "torch"),
        lambda: (tmp_path / "other-1.0.dist-info").mkdir(),
        lambda: (tmp_path / "other-1.0.dist-info").rename(tmp_path / "other-1.1.dist-info"),
        lambda: monkeypatch.setattr(tracer.engine.surroundings, "_CPU_INFO", tmp_path / "cpu"),
        lambda: (tmp_path / "cpu").write_text("model name: x\nflags: avx2\nMHz: 1\n\nflags: y"),
        lambda: (tmp_path / "cpu").write_text("model name: x\nflags: avx512\nMHz: 1\n\nflags: y"),
    ):
        monkeypatch.syspath_prepend(tmp_path)
        change()
        seen.append(surroundings())
    assert all(seen.count(each) == 1 for each in seen)
    (tmp_path / "cpu").write_text("model name: x\nflags: avx512\nMHz: 2\n\nflags: z")
    assert surroundings() == seen[-1]


def entry_of(kept):
    """The file of the whole run."""
    [path] = [
        path
        for path in kept.folder.glob("kept/??/*.safetensors")
        if "run.json" in kept.store.read(path.parent.name + path.stem).arrays
    ]
    return path


def test_a_copy_uses_what_the_run_was_made_of(kept):
    """Or a claim's first look would be forgotten before the run that it tells of."""
    paths = list(kept.folder.glob("kept/??/*.safetensors"))
    assert len(paths) > 10
    for path in paths:
        os.utime(path, (1, 1))
    assert is_found(kept)
    assert [path for path in paths if path.stat().st_mtime == 1] == []


@pytest.mark.parametrize(
    "bend",
    [
        lambda arrays, about: ({}, about),
        lambda arrays, about: (arrays, None),
        lambda arrays, about: (arrays | {"../beside": arrays["run.json"]}, about),
        lambda arrays, about: (arrays | {"run.json": arrays["run.json"][:-9]}, about),
        lambda arrays, about: (
            {name: x for name, x in arrays.items() if name != "measurements.safetensors"},
            about,
        ),
    ],
)
def test_an_entry_of_something_else_is_measured(kept, bend):
    path = entry_of(kept)
    key, whole = path.parent.name + path.stem, path.read_bytes()
    kept.store.write(key, *bend(*kept.store.read(key)))
    assert not is_found(kept)
    path.write_bytes(whole[:-1])
    assert not is_found(kept)
    path.write_bytes(whole)
    assert is_found(kept)


def test_an_unfinished_run_is_gone_on_with(kept):
    stopped, _ = once(kept.path, kept.folder, store=kept.store, reports="stopped", measures=False)
    judge_and_save(stopped)
    assert is_found(kept, reports="stopped")
    record = run_folder.read_record(stopped)
    half = record.model_copy(update={"status": "measuring"})
    run_folder.write(stopped, half, run_folder.read_arrays(stopped))
    assert not is_found(kept, reports="stopped")


def test_a_run_that_is_not_judged_is_judged(kept):
    made, _ = once(kept.path, kept.folder, store=kept.store, reports="unjudged", measures=False)
    assert not is_found(kept, reports="unjudged")
    assert once(kept.path, kept.folder, store=kept.store, reports="unjudged")[0] == made


@pytest.fixture
def plain(tiny, tmp_path):
    """Runs a file of one intervention with a cache of its own."""
    store = Store(tmp_path / "kept")

    def run(measures=True, **changes):
        path = write_tiny(tmp_path, tiny, **changes)
        folder, _ = once(path, tmp_path, store=store, measures=measures)
        judge_and_save(folder)
        return folder

    return run


def test_a_run_for_which_memory_ran_out_is_not_kept(plain, monkeypatch):
    real = tracer.engine.measure.rows.read_of_rows

    def cut(model, basis, clean, rows, limit, read):
        limit.rows, limit.halved = limit.rows // 2, limit.halved + 1
        return real(model, basis, clean, rows, limit, read)

    monkeypatch.setattr(tracer.engine.measure.rows, "read_of_rows", cut)
    plain()
    with pytest.raises(Missed):
        plain(measures=False)
    assert BatchLimit(4).halved == 0


def test_a_run_with_a_variation_that_could_not_be_measured_is_not_kept(plain, monkeypatch):
    def none(*_):
        raise EngineError("memory ran out")

    monkeypatch.setattr(tracer.engine.variants, "_measure", none)
    plain(robustness={"seeds": [1]})
    with pytest.raises(Missed):
        plain(measures=False, robustness={"seeds": [1]})


def test_a_run_that_was_gone_on_with_is_not_kept(plain, tmp_path):
    whole = run_folder.read_record(plain())
    half = whole.model_copy(update={"status": "measuring", "interventions": {}})
    for path in (tmp_path / "kept").glob("??/*"):
        path.unlink()
    folder = tmp_path / "reports" / whole.id
    run_folder.write(folder, half, {})
    (folder / run_folder.VERDICT).unlink()
    assert plain() == folder
    with pytest.raises(Missed):
        plain(measures=False)
    assert plain() != folder
    assert plain(measures=False) not in (folder, None)
