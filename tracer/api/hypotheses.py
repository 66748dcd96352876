"""Hypotheses from Python: `load` one, `run` it, or run it on several models."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tracer import engine
from tracer.engine.known_run import measured_once
from tracer.engine.progress import Progress, Silent
from tracer.engine.store import Store, root
from tracer.engine.surroundings import surroundings
from tracer.errors import HypothesisError, TracerError, UsageError
from tracer.hypothesis.load import (
    FROM_PYTHON,
    HypothesisFile,
    Replacements,
    as_declared,
    from_hypothesis,
    place_mistake,
    read,
)
from tracer.hypothesis.overrides import apply_overrides
from tracer.hypothesis.partial import read_parts
from tracer.hypothesis.spec import Hypothesis
from tracer.report.matrix import CombinationResult, Matrix, combinations, page_path
from tracer.report.run import Run, judge_and_save

if TYPE_CHECKING:
    from tracer.api.session.session import Session


def load(path: str | Path, set: Iterable[str] = ()) -> Hypothesis:
    """Read and check a hypothesis file.

    Args:
        path: a YAML file.
        set: replacements 'path=value', e.g. "controls.random=19".

    Raises:
        HypothesisError: everything that is wrong with it, each with its line.

    Example:
        >>> hypothesis = tracer.load("tiny.yaml", set=["controls.random=19"])
        >>> hypothesis.claim
        'a clamp changes the output'
        >>> list(hypothesis.supernodes), hypothesis.controls.random
        (['texas', 'california'], 19)
    """
    return read(str(path), set).hypothesis


def run(
    hypothesis: str | Path | Hypothesis,
    *,
    reports: str | Path = "reports",
    set: Iterable[str] = (),
    model: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    lock: str | Path | None = None,
    fresh: bool = False,
    cache: bool = True,
    session: Session | None = None,
    progress: Progress | None = None,
) -> Run:
    """Measure a hypothesis, judge it, write its report, and return the run.

    An unfinished run of the same hypothesis, model and seed is resumed.

    Args:
        hypothesis: a file, or what `load` gave.
        reports: the folder that runs are kept in.
        set: replacements 'path=value', as for `load`.
        model: another model: a registered name, a Hugging Face id or a folder.
        device: `auto`, `cpu`, `cuda`, …
        dtype: `float32`, `bfloat16`, `float16` or `float64`.
        seed: of the random controls.
        lock: a run folder whose supernodes are used instead of selecting anew; differences from
            it are recorded.
        fresh: never resume an unfinished run.
        cache: read and write the cache of measurements.
        session: an open model to measure on, whatever model the file names.
        progress: notified of every step; silent by default.

    Raises:
        HypothesisError: everything that is wrong with the hypothesis.
        UsageError: a session is given, and another model beside it.
        ModelUnavailable: the model cannot be had; says what is missing.
        EngineError: a measurement could not be made.

    Example:
        >>> run = tracer.run("tiny.yaml")
        >>> run.verdict.verdict
        'consistent'
        >>> bool(run.verdict)  # as the file expected
        True
        >>> [(outcome.split, outcome.outcome) for outcome in run.verdict.outcomes]
        [('discovery', 'held'), ('held out', 'held')]
    """
    if session is not None and (model, device, dtype) != (None, None, None):
        raise UsageError("session is the model to measure on: leave out model, device and dtype.")
    replaced = Replacements(model, None, device, dtype, seed, tuple(set)).overrides()
    file, opened = _file(hypothesis, replaced), None
    if session is not None:
        file, opened = session.opened_for(file)
    store, progress = Store(root()) if cache else None, progress or Silent()

    def measure() -> Path:
        return engine.run.measure(
            file,
            opened=opened,
            reports=Path(reports),
            lock=None if lock is None else Path(lock),
            fresh=fresh,
            store=store,
            progress=progress,
        )

    folder = measured_once(
        file,
        reports=Path(reports),
        fresh=fresh,
        keep_going=False,
        store=store if lock is None and opened is None else None,
        process=surroundings(),
        progress=progress,
        measure=measure,
    )
    return judge_and_save(folder)


def run_matrix(
    hypothesis: str | Path | Hypothesis,
    *,
    models: Iterable[str] = (),
    features: Iterable[str] = (),
    reports: str | Path = "reports",
    set: Iterable[str] = (),
    fresh: bool = False,
    progress: Progress | None = None,
) -> Matrix:
    """Run one hypothesis on every combination of models and feature bases.

    A combination that cannot be run is a case with its reason; the others go on.

    Args:
        hypothesis: a file, or what `load` gave.
        models: registered names, Hugging Face ids or folders; none is the file's own.
        features: feature bases; none is the file's own.
        reports: the folder that runs are kept in, and the page that links them.
        set: replacements 'path=value', as for `load`.
        fresh: never resume an unfinished run.
        progress: notified of every step; silent by default.

    Example:
        >>> matrix = tracer.run_matrix("tiny.yaml", models=["./gemma", "./nowhere"])
        >>> [case.run.verdict.verdict if case.run else "not run" for case in matrix.cases]
        ['consistent', 'not run']
        >>> "./nowhere" in matrix.cases[1].problem
        True
    """
    declared = hypothesis if isinstance(hypothesis, Hypothesis) else load(hypothesis)
    cases, replaced = list[CombinationResult](), tuple(set)
    for model, basis in combinations(models, features):
        found, problem = None, None
        given = (*replaced, *((f"features={json.dumps(basis)}",) if basis else ()))
        try:
            found = run(
                hypothesis, reports=reports, set=given, model=model, fresh=fresh, progress=progress
            )
        except TracerError as error:
            problem = str(error)
        names = (model or declared.model_spec.name, basis or declared.features)
        cases.append(CombinationResult(declared.hypothesis, *names, found, problem))
    matrix = Matrix(tuple(cases))
    if any(case.run for case in cases):
        matrix.keep_evidence()
        matrix.page(page_path(Path(reports), declared.hypothesis))
    return matrix


def _file(hypothesis: str | Path | Hypothesis, overrides: tuple[str, ...]) -> HypothesisFile:
    if isinstance(hypothesis, Hypothesis):
        return from_hypothesis(_replaced(hypothesis, overrides))
    return read(str(hypothesis), overrides)


def _replaced(hypothesis: Hypothesis, overrides: tuple[str, ...]) -> Hypothesis:
    data = as_declared(hypothesis)
    problems = apply_overrides(data, overrides)
    reading = read_parts(data)
    problems += reading.problems
    if problems or reading.hypothesis is None:
        mistakes = [place_mistake(problem, {}, overrides) for problem in problems]
        raise HypothesisError(FROM_PYTHON, mistakes)
    return reading.hypothesis
