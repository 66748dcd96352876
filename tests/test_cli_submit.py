"""`tracer submit`: what is refused before anything is queued, and shards that submitit runs."""

from __future__ import annotations

import importlib.util
import json
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Result, call, write_file
from tests.tiny_file import write_tiny
from tracer.cli.submit import ShardJob

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["absent.yaml"], 4, "absent.yaml: no such file or folder."),
        (["--", "--device"], 4, "Option '--device' requires an argument"),
        (["--", "--shard", "1/2"], 4, "--shard: not with `tracer submit`"),
        (["--", "--json", "v.json"], 4, "--json: not with `tracer submit`"),
        (["--", "-k", "nothing"], 5, "no hypothesis file passes the filters"),
        (["--", "--dtype", "int3"], 4, "model.dtype"),
        (["--shards", "0"], 4, "--shards"),
        (["--local", "--slurm", "gpu"], 4, "--slurm 'gpu': write KEY=VALUE, e.g. partition=gpu."),
        (["--local", "--slurm", "time=1:30:00"], 4, "a whole number of minutes, e.g. time=240."),
    ],
)
def test_mistakes_are_told_before_anything_is_queued(
    tracer_: Command, arguments: list[str], code: int, sentence: str
):
    if any("slurm" in word for word in arguments):
        pytest.importorskip("submitit")
    write_file(Path("hypotheses/a.yaml"), "a")
    result = tracer_("submit", *arguments)
    assert (result.code, result.out) == (code, "")
    assert sentence in result.err and "Traceback" not in result.err
    assert not list(Path().glob("submitted/*"))


def test_without_submitit_or_slurm_a_sentence_says_what_to_do(
    tracer_: Command, monkeypatch: pytest.MonkeyPatch
):
    write_file(Path("hypotheses/a.yaml"), "a")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = tracer_("submit")
    assert result.code == 4 and "pip install 'tracer-circuits[slurm]'" in result.err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    result = tracer_("submit")
    assert result.code == 4 and "there is no SLURM here (no command sbatch)" in result.err


def test_what_slurm_is_asked(folder: Path, tracer_: Command, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("submitit")
    for name in ("srun", "sbatch"):
        (folder / name).write_text('#!/bin/sh\ncp "$1" asked.sh\necho Submitted batch job 4711\n')
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    for name in "abc":
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    given = ("partition=gpu", "gpus_per_node=1", "time=90", "array_parallelism=2", 'setup=["x y"]')
    asked = [word for each in given for word in ("--slurm", each)]
    result = tracer_("submit", "--shards", "9", *asked, "--", "-t", "two-hop")
    assert result.code == 0
    assert "3 jobs for 3 cases: 4711_0, 4711_1, 4711_2; their output is in submitted/" in result.out
    assert result.err == "Once they have ended: tracer report --in reports\n"
    script = Path("asked.sh").read_text()
    for line in ("partition=gpu", "gpus-per-node=1", "time=90", "array=0-2%2", "job-name=tracer"):
        assert f"#SBATCH --{line}\n" in script
    assert "\nx y\n" in script
    unknown = tracer_("submit", "--slurm", "partitoin=gpu")
    assert unknown.code == 4 and "partitoin" in unknown.err and "Traceback" not in unknown.err


def test_a_job_is_a_shard_and_is_started_again_as_it_was(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("submitit")
    commands: list[list[str]] = []

    def run(command: list[str], **named: Any) -> Any:
        commands.append(command)
        return type("Ended", (), {"returncode": 6})

    monkeypatch.setattr("tracer.cli.submit.subprocess.run", run)
    job = ShardJob(("hypotheses/", "-t", "two-hop"), "3/16")
    assert job() == 6
    assert commands[0][1:] == [
        "-m",
        "tracer",
        "run",
        "--shard",
        "3/16",
        "hypotheses/",
        "-t",
        "two-hop",
    ]
    assert job.checkpoint().function == job


def test_submitit_runs_a_shard_of_a_tiny_model(
    folder: Path, tiny: Path, tracer_: Command, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("submitit")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    file = str(write_tiny(folder, tiny))
    name = yaml.safe_load(Path(file).read_text())["hypothesis"]
    result = tracer_("submit", "--local", "--wait", file)
    assert result.code == 1  # as the random model refutes it
    assert "1 job for 1 case" in result.out
    [run] = Path(f"reports/{name}").glob("*/run.json")
    assert json.loads(run.read_text())["status"] == "complete"
    assert run.with_name("verdict.json").exists() and run.with_name("report.html").exists()
    assert Path("reports/index.html").read_text().count("report.html") == 1
    assert f"[{name}](../tiny.yaml)" in Path("reports/library.md").read_text()
