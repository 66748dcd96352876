"""Ablate each hypothesis's supernodes on the prompts of every hypothesis and on neutral text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.batches import Row, batch_limit
from tracer.engine.clean import CleanRun
from tracer.engine.features.places import Place
from tracer.engine.forward import run_rows
from tracer.engine.measure.neutral import kl_from, neutral_run
from tracer.engine.new_record import dictionary_record
from tracer.engine.progress import Advance, Progress
from tracer.engine.session import Opened, open_both
from tracer.engine.specificity_subject import (
    SpecificitySubject,
    everywhere,
    make_subject,
    placements,
)
from tracer.engine.surroundings import environment
from tracer.errors import EngineError, HypothesisError, UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.neutral import TEXTS
from tracer.record.specificity import Effect, Excluded, NeutralEffect, Placement, Specificity

AT_LEAST = 2
"""Hypotheses without which there is nothing to compare."""


def measure_specificity(
    files: Sequence[HypothesisFile], apart: Sequence[Excluded], *, reports: Path, progress: Progress
) -> Specificity:
    """Measure every hypothesis's ablation on every task.

    Args:
        files: Hypotheses of one model and basis.
        apart: Those that are not comparable with them, to be recorded.
        reports: Runs whose supernodes are taken where they fit.
        progress: Hears about every step that takes long.

    Raises:
        ModelUnavailable: The model or its features cannot be had here.
        UsageError: Fewer than two hypotheses are left that have a task on this model.
        EngineError: Logits are not finite, or memory does not hold one row.
    """
    started, begun = datetime.now(UTC), time.monotonic()
    first = files[0].hypothesis
    opened = open_both(first.model_spec, first.features, progress)
    subjects, unfit = _subjects(files, opened, reports, progress)
    if len(subjects) < AT_LEAST:
        told = "".join(f"\n{each.file}: {each.reason}" for each in (*apart, *unfit))
        raise UsageError(
            f"specificity compares at least {AT_LEAST} hypotheses of one model and basis; "
            f"{len(subjects)} can be used.{told}"
        )
    with progress.task("ablating on every task", _n_rows(subjects)) as advance:
        effects = [e for to in subjects for e in _on_task(opened, subjects, to, advance)]
    with progress.task("ablating on neutral text", len(TEXTS)) as advance:
        neutral = [e for n in range(len(TEXTS)) for e in _on_text(opened, subjects, n, advance)]
    return Specificity(
        started=started.isoformat(timespec="seconds"),
        model=opened.model.record,
        basis=opened.basis.name,
        dictionary=dictionary_record(opened.features),
        environment=environment(torch.get_num_threads()),
        tasks=tuple(subject.task for subject in subjects),
        effects=tuple(effects),
        neutral_texts=TEXTS,
        neutral=tuple(neutral),
        apart=(*apart, *unfit),
        seconds=round(time.monotonic() - begun, 3),
    )


def _subjects(
    files: Sequence[HypothesisFile], opened: Opened, reports: Path, progress: Progress
) -> tuple[list[SpecificitySubject], list[Excluded]]:
    found, unfit = list[SpecificitySubject](), list[Excluded]()
    with progress.task("getting the hypotheses ready", len(files)) as advance:
        for file in files:
            try:
                found.append(make_subject(file, opened, reports, progress))
            except (HypothesisError, EngineError) as error:
                name = file.hypothesis.hypothesis
                unfit.append(Excluded(name=name, file=file.path, reason=str(error)))
            advance(1)
    return found, unfit


def _n_rows(subjects: Sequence[SpecificitySubject]) -> int:
    prompts = sum(len(subject.task.prompts) for subject in subjects)
    return prompts * (1 + 3 * (len(subjects) - 1))


def _on_task(
    opened: Opened, subjects: Sequence[SpecificitySubject], to: SpecificitySubject, advance: Advance
) -> Iterator[Effect]:
    """Every hypothesis's ablations on one task's prompts; its own at the declared places only."""
    for name, clean in to.clean.items():
        tests: list[tuple[str, Placement, list[Place]]] = [
            (subject.task.name, where, places)
            for subject in subjects
            for where, places in placements(subject.supernodes, clean.prompt, subject.home).items()
            if subject is not to or where in ("declared", "last")
        ]
        answer = clean.prompt.answer_id
        assert answer is not None
        logits = _ablated(opened, clean, [places for *_, places in tests], advance)
        changes = _demeaned(logits, answer) - _demeaned(clean.logits[None], answer)
        for (of, where, _), change in zip(tests, changes.tolist(), strict=True):
            yield Effect(ablated=of, task=to.task.name, prompt=name, placement=where, change=change)


def _on_text(
    opened: Opened, subjects: Sequence[SpecificitySubject], number: int, advance: Advance
) -> Iterator[NeutralEffect]:
    """KL(unclamped ‖ clamped) of the next token, in nats."""
    clean = neutral_run(opened.model, opened.basis, TEXTS[number])
    tests = [everywhere(subject.supernodes, len(clean.ids)) for subject in subjects]
    kl = kl_from(clean, _ablated(opened, clean, tests, lambda n: None))
    for subject, value in zip(subjects, kl.tolist(), strict=True):
        yield NeutralEffect(ablated=subject.task.name, text=number, kl=value)
    advance(1)


def _ablated(
    opened: Opened, clean: CleanRun, tests: Sequence[Sequence[Place]], advance: Advance
) -> Float[Tensor, "row vocab"]:
    """Logits with each test's places set to 0."""
    rows = [Row(dict.fromkeys(places, 0.0)) for places in tests]
    logits = torch.zeros(len(rows), clean.logits.numel(), dtype=clean.logits.dtype)
    limit = batch_limit(opened.model, clean)
    for numbers, found, *_ in run_rows(opened.model, opened.basis, clean, rows, limit):
        logits[numbers] = found.cpu()
        advance(len(numbers))
    return logits


def _demeaned(logits: Float[Tensor, "row vocab"], token: int) -> Float[Tensor, " row"]:
    """logit(token) − mean logit."""
    exact = logits.double().cpu()
    return exact[:, token] - exact.mean(-1)
