"""Parts of the cases for several machines, and parts of a machine for several processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import Engine, Result, call, use_engine, write_file
from tracer.cli.cases import RunCase, Shard, cases_of, read_shard
from tracer.cli.matrix import select
from tracer.cli.select import FileFilters
from tracer.cli.shares import GPUS, THREADS, n_cores, shares
from tracer.errors import UsageError
from tracer.hypothesis.load import Replacements
from tracer.report.matrix import combinations

Command = Callable[..., Result]
ARRAY = dict(zip(("ID", "MIN", "MAX", "COUNT"), ("3", "1", "16", "16"), strict=True))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return use_engine(monkeypatch)


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


def of_array(**changes: str) -> dict[str, str]:
    return {f"SLURM_ARRAY_TASK_{name}": value for name, value in (ARRAY | changes).items()}


def cases(paths: list[Path], models: list[str]) -> list[RunCase]:
    cells = combinations(models, [])
    return cases_of(select(paths, cells, Replacements(), FileFilters()))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_every_case_is_in_one_shard_whatever_the_order_of_files(count: int):
    paths = [write_file(Path(f"h{n}.yaml"), f"h{n}") for n in range(5)]
    Path("broken.yaml").write_text("hypothesis: 3\n")
    found = cases([*paths, Path("broken.yaml")], ["gemma-3-270m", "smollm2-135m", "me/far"])
    random.Random(count).shuffle(paths)
    again = cases([Path("broken.yaml"), *paths], ["me/far", "smollm2-135m", "gemma-3-270m"])
    shards = [Shard(n, count) for n in range(1, count + 1)]
    parts = [[(c.label, c.path) for c in shard.of(found)] for shard in shards]
    assert parts == [[(c.label, c.path) for c in shard.of(again)] for shard in shards]
    assert sorted(sum(parts, [])) == sorted((c.label, c.path) for c in found)
    assert len(found) == 18
    assert {len(part) for part in parts} <= {18 // count, 18 // count + 1}
    models = [{c.opens for c in shard.of(found) if c.opens} for shard in shards]
    if count == 3:
        assert max(map(len, models)) == 2 and sum(map(len, models)) <= 5


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "-1/4", "3", "three/4", "1/4/2", "", "٣/4"])
def test_what_is_no_shard_is_a_sentence(engine: Engine, tracer_: Command, text: str):
    write_file(Path("hypotheses/a.yaml"), "a")
    result = tracer_("run", f"--shard={text}")
    assert result.code == 4 and engine.asked == []
    assert result.err.startswith("--shard ") and result.err.count("\n") == 1
    assert "out of range" in result.err or "counted from 1, e.g. 3/16" in result.err


def test_a_task_of_an_array_is_a_shard():
    assert read_shard("slurm", of_array()) == Shard(3, 16)
    assert read_shard("slurm", of_array(ID="0", MIN="0", MAX="15")) == Shard(1, 16)
    assert read_shard("3/16", {}) == Shard(3, 16)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "SLURM_ARRAY_TASK_ID is not set to a number"),
        (of_array(COUNT="x"), "SLURM_ARRAY_TASK_COUNT is not set to a number"),
        (of_array(COUNT="8"), "the array's 8 tasks go from 1 to 16, and not"),
        (of_array(ID="7", MIN="7", MAX="7", COUNT="1"), "--shard 7/16, where there are 16"),
        (of_array(ID="17"), "do"),
    ],
)
def test_an_array_that_says_no_shard_is_a_sentence(environment: dict[str, str], sentence: str):
    with pytest.raises(UsageError, match=sentence):
        read_shard("slurm", environment)


def test_shards_write_runs_and_the_pages_come_afterwards(engine: Engine, tracer_: Command):
    for name in "ab":
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    models = ("--model", "gemma-3-270m", "--model", "smollm2-135m")
    for n in range(1, 6):
        result = tracer_("run", *models, "--shard", f"{n}/5")
        assert result.code == 0
        assert f"shard {n}/5: {1 if n > 1 else 0} of 4" in result.out
    assert {path.name for path in Path("reports").iterdir()} == {"a", "b"}
    names = [(a["file"].hypothesis.model_spec.name, a["file"].path) for a in engine.asked]
    assert names == sorted(names) and len(set(names)) == 4
    assert tracer_("run", "-k", "z", "--shard", "1/2").code == 5
    result = tracer_("run", "--failed", "--shard", "1/2")
    assert result.code == 4 and "some would be in none" in result.err


def test_processes_share_the_machine():
    assert shares(2, ["auto"], {GPUS: "0, 1"}) == [
        {THREADS: str(max(1, n_cores() // 2)), GPUS: gpu} for gpu in "01"
    ]
    has = {THREADS: "3"}
    assert shares(3, ["cuda"], has | {GPUS: "GPU-a,GPU-b"}) == [
        {GPUS: "GPU-a"}, {GPUS: "GPU-b"}, {GPUS: "GPU-a"}
    ]  # fmt: skip
    assert shares(2, ["auto"], has | {GPUS: "0,1,2,3,4"}) == [{GPUS: "0,1"}, {GPUS: "2,3"}]
    assert shares(2, ["auto", "cuda:1"], has | {GPUS: "0,1"}) == [{}, {}]
    assert shares(2, ["auto"], has | {GPUS: ""}) == [{}, {}]


def test_gpus_are_those_that_the_driver_lists(folder: Path, monkeypatch: pytest.MonkeyPatch):
    program = folder / "nvidia-smi"
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    for told, gpus in {
        "echo GPU-a; echo GPU-b": ["GPU-a", "GPU-b"],
        "exit 9": [None, None],
    }.items():
        program.write_text(f"#!/bin/sh\n{told}\n")
        program.chmod(0o755)
        assert [each.get(GPUS) for each in shares(2, ["auto"], {})] == gpus
