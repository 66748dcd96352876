"""`tracer run --jobs`: what several processes measure is what one would; none is lost or doubled.

Most of it is tried with workers that measure nothing, and say what each hypothesis's name asks for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import yaml

from tests.command import Engine, Result, call, use_engine, write_file
from tests.records import YAML
from tests.tiny_file import write_tiny
from tracer.cli import case_worker, worker_pool
from tracer.cli.measuring import INTERRUPTED, Failure, Measuring
from tracer.engine.progress import Progress
from tracer.errors import EngineError, Mistake
from tracer.hypothesis.load import HypothesisFile

Command = Callable[..., Result]
WORKER = r"""
import json, os, re, signal, sys
from pathlib import Path

def say(**message):
    print(json.dumps(message), flush=True)

os.write(2, b"a library's warning\n") if os.environ.get("CHATTY") else None
common = json.loads(sys.stdin.readline())
for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    name = re.search(r"hypothesis: (\w+)", asked["text"])[1]
    model = re.search("model: (.*)|$", asked["text"])[0]
    mine = {"pid": os.getpid(), "name": name, "model": model, "fresh": asked["fresh"]}
    mine["threads"] = os.environ.get("OMP_NUM_THREADS")
    with open("asked.jsonl", "a") as file:
        file.write(json.dumps(mine) + "\n")
    n_before = Path("asked.jsonl").read_text().count('"' + name + '"')
    say(began="measuring", total=2)
    say(advanced=1)
    if name == "waits":
        sys.stdin.read()
        say(failed=[2, "interrupted", None])
        break
    if name == "interrupts":
        os.kill(os.getppid(), signal.SIGINT)
        sys.stdin.read()
        break
    if name == "killed" or name == "killed_once" and n_before == 1:
        (Path("reports") / name / "begun").mkdir(parents=True)if name == "killed_once" else None
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "broken":
        say(broken=True)
        raise SystemExit("Traceback of a mistake")
    say(ended=True)
    say(note="done")
    if name == "fails":
        say(failed=[3, "fails: the logits are not finite.", None])
    else:
        folders = [path for path in Path("reports", name).iterdir() if (path / "run.json").exists()]
        say(run=str(folders[0]))
"""


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


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "WORKER", (sys.executable, "-S", "-c", WORKER))


def measured(engine: Engine, tracer_: Command, *names: str) -> None:
    """Files, and a run of each that lies ready for the workers."""
    for name in names:
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    tracer_("run", "-q")


def asked() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("asked.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("workers")
def test_the_same_comes_out_as_one_after_the_other(engine: Engine, tracer_: Command):
    for name in ("a", "b", "fails"):
        write_file(Path(f"hypotheses/{name}.yaml"), name)
    Path("hypotheses/d.yaml").write_text("hypothesis: 3\n")
    engine.refuting = {"b"}
    engine.raises = {"fails": EngineError("fails: the logits are not finite.")}
    documents = ("--json", "v.json", "--junitxml", "v.xml")
    alone = tracer_("run", *documents)
    written = [Path(name).read_text() for name in ("v.json", "v.xml", "reports/index.html")]
    beside = tracer_("run", "--jobs", "2", *documents)
    assert (beside.code, beside.out) == (alone.code, alone.out)
    assert alone.code == 3 and "4 hypotheses: 1 as expected, 1 not as expected" in alone.out
    assert written == [Path(name).read_text() for name in ("v.json", "v.xml", "reports/index.html")]
    lines = beside.err.splitlines()
    for line in ("3 cases, 2 at a time", "a: measuring", "note: a: done", "fails: measuring"):
        assert lines.count(line) == 1
    assert "fails: the logits are not finite." in lines
    assert {line[-8:] for line in lines if line.startswith("b: refuted")} < {
        f"({n} of 4)" for n in range(1, 5)
    }
    alone, beside = tracer_("run", "-q"), tracer_("run", "-q", "--jobs", "9")
    assert beside.out == alone.out
    told = {line for line in beside.err.splitlines() if not line.startswith("note: ")}
    assert told == set(alone.err.splitlines())


@pytest.mark.usefixtures("workers")
def test_a_killed_workers_case_runs_again_once_after_the_others(engine: Engine, tracer_: Command):
    measured(engine, tracer_, "killed_once", "a", "b", "killed")
    result = tracer_("run", "--jobs", "2", "--fresh", "--json", "v.json", "-q")
    assert result.code == 3
    assert [each["name"] for each in asked()[-2:]] == ["killed", "killed_once"]
    fresh = {name: [e["fresh"] for e in asked() if e["name"] == name] for name in ("killed", "a")}
    assert fresh == {"killed": [True, True], "a": [True]}
    assert [e["fresh"] for e in asked() if e["name"] == "killed_once"] == [True, False]
    assert "killed_once: the process that measured it was killed (signal 9, Killed); what" in (
        result.err
    )
    assert (
        "killed: the process that measured it was killed (signal 9, Killed), for the second "
        in (result.err)
    )
    results = json.loads(Path("v.json").read_text())["results"]
    codes = [(each["hypothesis"], each["exit_code"]) for each in results]
    assert codes == [("a", 0), ("b", 0), ("killed", 3), ("killed_once", 0)]


@pytest.mark.usefixtures("workers")
def test_ctrl_c_ends_all_workers_and_tells_what_they_had(engine: Engine, tracer_: Command):
    measured(engine, tracer_, "a", "waits", "interrupts", "later")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = tracer_("run", "-k", "not later", "--jobs", "3", "--json", "v.json")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.code == 2
    assert result.err.count("interrupted; what was measured is kept") == 1
    codes = {
        each["hypothesis"]: each["exit_code"]
        for each in json.loads(Path("v.json").read_text())["results"]
    }
    assert codes.pop("waits", 2) == codes.pop("interrupts") == 2
    for each in asked():
        with pytest.raises(ProcessLookupError):
            os.kill(each["pid"], 0)


@pytest.mark.usefixtures("workers")
def test_exitfirst_ends_those_that_are_measured_too(engine: Engine, tracer_: Command):
    engine.refuting = {"a"}
    measured(engine, tracer_, "a", "waits", "z")
    result = tracer_("run", "-x", "--jobs", "2", "--json", "v.json")
    assert result.code == 1
    [only] = json.loads(Path("v.json").read_text())["results"]
    assert only["hypothesis"] == "a"
    assert {each["name"] for each in asked()} <= {"a", "waits"}


@pytest.mark.usefixtures("workers")
def test_a_worker_opens_few_models(engine: Engine, tracer_: Command):
    names = [f"h{n}" for n in range(6)]
    for n, name in enumerate(names):
        file = write_file(Path(f"hypotheses/{name}.yaml"), name)
        model = ("gemma-3-270m", "smollm2-135m")[n % 2]
        file.write_text(f"model: {model}\n{file.read_text()}")
    tracer_("run", "-q")
    assert tracer_("run", "--jobs", "2").code == 0
    models: dict[int, set[str]] = {}
    for each in asked():
        models.setdefault(each["pid"], set()).add(each["model"])
    assert sorted(map(sorted, models.values())) == [
        ["model: gemma-3-270m"],
        ["model: smollm2-135m"],
    ]
    assert sorted(each["name"] for each in asked()) == names


@pytest.mark.usefixtures("workers")
def test_a_mistake_of_tracer_in_a_worker_ends_its_case_alone(
    engine: Engine, tracer_: Command, monkeypatch: pytest.MonkeyPatch
):
    measured(engine, tracer_, "broken", "b")
    monkeypatch.setenv("CHATTY", "1")
    result = tracer_("run", "--jobs", "2")
    assert result.code == 3
    assert "broken: this is a mistake in tracer itself; please report it." in result.err
    assert "Traceback of a mistake" in result.err and "a library's warning" in result.err
    assert "✔ CONSISTENT as expected  b" in result.out


def test_no_jobs_is_a_sentence(engine: Engine, tracer_: Command):
    write_file(Path("hypotheses/a.yaml"), "a")
    result = tracer_("run", "--jobs", "0")
    assert result.code == 4 and "--jobs" in result.err and engine.asked == []


def test_a_worker_is_one_process_to_all_its_cases(folder: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[Measuring] = []

    def end_of(self: Measuring, file: HypothesisFile, progress: Progress) -> Failure:
        seen.append(self)
        progress.note(file.path)
        return Failure(3, "no", (Mistake(1, None, "a", "b"),)) if self.fresh else INTERRUPTED

    monkeypatch.setattr(Measuring, "end_of", end_of)
    common = {"reports": "r", "lock": None, "keep_going": True, "store": "kept"}
    heard: SimpleQueue[str] = SimpleQueue()
    heard.put(json.dumps(common))
    for fresh in (True, False):
        case = {"path": "a.yaml", "text": YAML, "overrides": ["seed=7"], "fresh": fresh}
        heard.put(json.dumps(case))
    heard.put("")  # standard input has ended
    told = StringIO()
    case_worker._measure(heard, case_worker._Told(told))
    first, second = seen
    assert (first.fresh, second.fresh, first.keep_going) == (True, False, True)
    for name in ("process", "last", "store"):  # a cached run's key holds what it was at first
        assert getattr(first, name) is getattr(second, name)
    assert [json.loads(line) for line in told.getvalue().splitlines()] == [
        {"note": "a.yaml"},
        {"failed": [3, "no", [[1, None, "a", "b"]]]},
        {"note": "a.yaml"},
        {"failed": [2, INTERRUPTED.sentence, None]},
    ]


def test_tiny_models_in_two_processes_one_of_them_killed(
    folder: Path, tiny: Path, tracer_: Command, monkeypatch: pytest.MonkeyPatch
):
    file = write_tiny(folder, tiny)
    declared = yaml.safe_load(file.read_text())
    for name in ("left", "right"):
        file.with_name(f"{name}.yaml").write_text(yaml.safe_dump(declared | {"hypothesis": name}))
    alone = tracer_("run", "left.yaml", "--no-cache", "--out", "alone", "--json", "alone.json")
    draw, killed = worker_pool._Worker.draw, list[int]()

    def draw_and_kill(self: Any, label: str, message: Any, progress: Any) -> None:
        draw(self, label, message, progress)
        if label == "left" and "PyTorch" in message.get("began", "") and not killed:
            killed.append(self.process.pid)
            self.process.kill()

    monkeypatch.setattr(worker_pool._Worker, "draw", draw_and_kill)
    result = tracer_("run", "left.yaml", "right.yaml", "--jobs", "2", "--json", "v.json")
    assert "the case runs again at the end" in result.err, result.err
    left, right = json.loads(Path("v.json").read_text())["results"]
    [before] = json.loads(Path("alone.json").read_text())["results"]
    assert result.code == alone.code
    for name in ("left", "right"):
        [run] = Path(f"reports/{name}").glob("*/run.json")
        assert json.loads(run.read_text())["status"] == "complete"
    for each in (left, right):
        assert each["verdict"]["outcomes"] == before["verdict"]["outcomes"]
    assert not list(Path("reports").glob("*/.*"))
