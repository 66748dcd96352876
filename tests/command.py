"""The command line in a temporary folder, with a synthetic engine behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator

import tracer.engine
from tests.records import YAML, change, make_reading, make_record
from tracer.cli.app import run_command
from tracer.cli.documents.registry import DOCUMENTS, document_schema
from tracer.engine.last_opened import LastOpened
from tracer.engine.progress import Progress
from tracer.engine.store import Store
from tracer.hypothesis.load import HypothesisFile
from tracer.record import run_folder, runs
from tracer.record.record import Record

Bend = Callable[[Record], Record]


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Engine:
    """Stands in for the torch leg: notes what it was asked, and writes a synthetic run."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.raises: dict[str, BaseException] = {}
        self.refuting: set[str] = set()

    def measure(
        self,
        file: HypothesisFile,
        *,
        reports: Path,
        lock: Path | None = None,
        fresh: bool = False,
        keep_going: bool = False,
        store: Store | None = None,
        last: LastOpened[Any] | None = None,
        opened: object = None,
        progress: Progress,
    ) -> Path:
        name = file.hypothesis.hypothesis
        self.asked.append(
            {"file": file, "reports": reports, "lock": lock, "fresh": fresh, "store": store}
        )
        with progress.task("measuring"):
            for key in (name, file.hypothesis.model_spec.name):
                if key in self.raises:
                    raise self.raises[key]
        clamped = (
            {("texas_to_california", "dallas"): make_reading(Austin=0.5, Sacramento=0.1)}
            if name in self.refuting
            else None
        )
        record, arrays = make_record(clamped=clamped)
        record = change(record, "hypothesis", file.hypothesis)
        record = change(record, "id", f"{name}/20260102T030405Z-{len(self.asked):06d}")
        folder = runs.create(reports, record)
        run_folder.write(folder, record, arrays)
        return folder


def write_file(path: Path, name: str = "two_hop", *, expected: str = "consistent") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = YAML.replace("hypothesis: two_hop", f"hypothesis: {name}")
    text = text.replace("expected: consistent", f"expected: {expected}")
    if expected == "refuted":
        text = failing(text)
    path.write_text(text, encoding="utf-8")
    return path


def failing(text: str) -> str:
    """The file with the expectations marked that fail in a run of `Engine.refuting`."""
    for shown in ('{top: " Sacramento"', "above: 1.0", "beats_controls: 0.05"):
        assert shown in text
        text = text.replace(shown, f"{shown}, fails: true")
    return text


def use_engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine()
    monkeypatch.setattr(tracer.engine, "run", SimpleNamespace(measure=stand_in.measure))
    return stand_in


def call(capfd: pytest.CaptureFixture[str], *arguments: str) -> Result:
    """One command line; a document that it writes is held against the command's schema."""
    code = run_command(arguments)
    captured = capfd.readouterr()
    _check_document(arguments, captured.out)
    return Result(code, captured.out, captured.err)


def _check_document(arguments: Sequence[str], out: str) -> None:
    if "--json" not in arguments:
        return
    following = arguments[arguments.index("--json") + 1 :][:1]
    is_file = any(word.endswith(".json") for word in following)
    text = Path(following[0]).read_text() if is_file and Path(following[0]).is_file() else out
    if text.startswith("{"):
        words = " ".join(arguments[:2])
        command = words if words in DOCUMENTS else arguments[0]
        validator_of(command).validate(json.loads(text))


@cache
def validator_of(command: str) -> Draft202012Validator:
    schema = document_schema(command)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
