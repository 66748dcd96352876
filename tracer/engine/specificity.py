"""Ablate what every hypothesis stands on, on every hypothesis's prompts and on neutral text.

What of a hypothesis is ablated, and where its features are put on another hypothesis's prompt.

Ablated is every supernode that some intervention clamps to nothing or less (×0, ×−2, = 0, a
negative addition); where there is none, every supernode that is clamped at all. All are set to 0 at
once, in one pass. A hypothesis's task is the prompts of the interventions that clamp one of them.

A hypothesis made ready for the matrix: its supernodes, and the prompts that are its task.

Neutral text: plain openings of sentences, on which no hypothesis should have an effect.

Written for this purpose, on everyday subjects; each stops where several words could follow.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.basis import Place
from tracer.engine.forward import Row, batch_limit, run_rows
from tracer.engine.new_record import environment
from tracer.engine.progress import Advance, Progress
from tracer.engine.resolve import open_bench
from tracer.engine.session import Opened, open_both
from tracer.engine.supernodes import place
from tracer.errors import EngineError, HypothesisError, UsageError
from tracer.hypothesis.clamps import ClampForm, ClampSpec
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize
from tracer.record import runs
from tracer.record.lock import Lock, reusable
from tracer.record.record import BasisRecord, Record, SupernodeRecord
from tracer.record.specificity import Apart, Effect, NeutralEffect, Placement, Specificity, Task


def ablated(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Names of the supernodes that stand for a hypothesis, in the file's order."""
    clamped = [item for each in hypothesis.interventions.values() for item in each.clamp.items()]
    off = {name for name, clamp in clamped if _value(clamp) <= 0}
    named = off or {name for name, _ in clamped}
    return tuple(name for name in hypothesis.supernodes if name in named)


def task_prompts(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Prompts of a hypothesis's task that have an answer: held-out ones where there are any."""
    own = set(ablated(hypothesis))
    named = {
        prompt
        for each in hypothesis.interventions.values()
        if own & each.clamp.keys()
        for prompt in each.prompts
    }
    answered = [n for n, p in hypothesis.prompts.items() if n in named and p.answer is not None]
    held_out = [name for name in answered if hypothesis.prompts[name].held_out]
    return tuple(held_out or answered)


def placements(
    supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt, home: TokenizedPrompt
) -> Mapping[Placement, list[Place]]:
    """Everywhere that features are put on another hypothesis's prompt, one entry a test.

    Args:
        supernodes: What is ablated.
        prompt: Where.
        home: A prompt of their own hypothesis, that has their spans.
    """
    has_spans = all(each.at in prompt.spans for each in supernodes)
    near: Placement = "declared" if has_spans else "last"
    return {
        near: _unique(at_declared(supernodes, prompt)),
        "aligned": _unique(_aligned(supernodes, prompt, home)),
        "everywhere": everywhere(supernodes, len(prompt.ids)),
    }


def at_declared(supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt) -> Iterator[Place]:
    """Each feature at its span; at the last token where the prompt has no such span."""
    for each in supernodes:
        at = each.at if each.at in prompt.spans else "last"
        for ref in each.features:
            pos = place(ref, prompt, at, each.anchor)
            if pos is not None:
                yield ref.layer, pos, ref.index


def everywhere(supernodes: Sequence[SupernodeRecord], n_tokens: int) -> list[Place]:
    """Each feature at every token but the first, which models use as a place to attend to."""
    features = dict.fromkeys((ref.layer, ref.index) for s in supernodes for ref in s.features)
    return [(layer, pos, index) for layer, index in features for pos in range(1, n_tokens)]


def _aligned(
    supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt, home: TokenizedPrompt
) -> Iterator[Place]:
    """Each feature as many tokens from the end as on its own prompt."""
    for layer, pos, index in at_declared(supernodes, home):
        moved = pos - len(home.ids) + len(prompt.ids)
        if moved >= 0:
            yield layer, moved, index


def _unique(places: Iterator[Place]) -> list[Place]:
    return list(dict.fromkeys(places))


def _value(clamp: ClampForm) -> float:
    return clamp.amount.value if isinstance(clamp, ClampSpec) else clamp


@dataclass(frozen=True)
class SpecificitySubject:
    """A hypothesis with its features, and its prompts run clean."""

    task: Task
    supernodes: tuple[SupernodeRecord, ...]
    clean: Mapping[str, CleanRun]
    """The task's prompts."""

    @property
    def home(self) -> TokenizedPrompt:
        """The prompt that tells how far from the end its features are."""
        return self.clean[self.task.prompts[0]].prompt


def make_subject(
    file: HypothesisFile, opened: Opened, reports: Path, progress: Progress
) -> SpecificitySubject:
    """Tokenize, take the latest run's supernodes or find them, and run the task's prompts.

    Raises:
        HypothesisError: A token, span or feature id that this model does not have.
        EngineError: A rule finds nothing, or the model gives none of the answers.
    """
    hypothesis = file.hypothesis
    model = opened.model
    prompts = tokenize(file, model.tokenizer, model.context)
    older = _fitting(hypothesis, opened, reports)
    lock = (
        older[1]
        if older
        else open_bench(file, model, opened.basis, prompts, None, progress).supernodes
    )
    chosen = tuple(lock[name] for name in ablated(hypothesis))
    clean, wrong = _right_ones(hypothesis, opened, prompts)
    task = Task(
        name=hypothesis.hypothesis,
        file=file.path,
        sha256=_sha256(hypothesis),
        supernodes=tuple(each.name for each in chosen),
        n_features=sum(len(each.features) for each in chosen),
        lock=older[0].id if older else None,
        prompts=tuple(clean),
        left_out=wrong,
    )
    return SpecificitySubject(task, chosen, clean)


def _right_ones(
    hypothesis: Hypothesis, opened: Opened, prompts: Mapping[str, TokenizedPrompt]
) -> tuple[dict[str, CleanRun], tuple[str, ...]]:
    """The task's prompts whose answer comes first, unclamped, and the names of the others."""
    asked = task_prompts(hypothesis)
    if not asked:
        raise EngineError("no prompt of its interventions has an answer.")
    found: dict[str, CleanRun] = {}
    for name in asked:
        run = clean_run(opened.model, opened.basis, prompts[name], {len(prompts[name].ids) - 1})
        if int(run.logits.argmax()) == prompts[name].answer_id:
            found[name] = run
    if not found:
        raise EngineError("the model gives none of its answers, unclamped.")
    return found, tuple(name for name in asked if name not in found)


def _fitting(hypothesis: Hypothesis, opened: Opened, reports: Path) -> tuple[Record, Lock] | None:
    """The latest run of the same rules on the same prompts and weights, and its supernodes."""
    try:
        record = runs.latest(reports, hypothesis.hypothesis)
        if record is None or not _same_rules(record.hypothesis, hypothesis):
            return None
        dictionary = record.dictionary.fingerprint if record.dictionary else None
        if dictionary != opened.features.fingerprint:
            return None
        names, weights = set(hypothesis.supernodes), opened.model.record.fingerprint
        return record, reusable(record, names, opened.basis.name, weights)
    except UsageError:
        return None


def _same_rules(one: Hypothesis, other: Hypothesis) -> bool:
    return (one.supernodes, one.prompts, one.template) == (
        other.supernodes,
        other.prompts,
        other.template,
    )


def _sha256(hypothesis: Hypothesis) -> str:
    declared = hypothesis.model_dump_json(by_alias=True, exclude_none=True)
    return hashlib.sha256(declared.encode()).hexdigest()


TEXTS = (
    "The kettle began to whistle, and she took two cups from the",
    "After the rain had stopped, the children went out into the",
    "He put on his coat, looked for his keys, and walked to the",
    "The old wooden table in the kitchen was covered with",
    "Most of the shops on the street were already",
    "It was a quiet afternoon, and nobody in the office wanted to",
    "The train was late again, so we decided to",
    "She opened the window because the room was too",
    "The recipe says to mix the flour with a little",
    "Before going to bed, he always reads a few pages of a",
    "The dog slept in front of the fire while the cat watched from the",
    "We painted the fence last summer, and it still looks",
)


AT_LEAST = 2
"""Hypotheses without which there is nothing to compare."""


def measure_specificity(
    files: Sequence[HypothesisFile],
    apart: Sequence[Apart],
    *,
    reports: Path,
    progress: Progress,
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
    features = opened.features
    return Specificity(
        started=started.isoformat(timespec="seconds"),
        model=opened.model.record,
        basis=opened.basis.name,
        dictionary=BasisRecord(
            source=features.source, revision=features.revision, fingerprint=features.fingerprint
        )
        if features.fingerprint
        else None,
        environment=environment(),
        tasks=tuple(subject.task for subject in subjects),
        effects=tuple(effects),
        neutral_texts=TEXTS,
        neutral=tuple(neutral),
        apart=(*apart, *unfit),
        seconds=round(time.monotonic() - begun, 3),
    )


def _subjects(
    files: Sequence[HypothesisFile], opened: Opened, reports: Path, progress: Progress
) -> tuple[list[SpecificitySubject], list[Apart]]:
    found, unfit = list[SpecificitySubject](), list[Apart]()
    with progress.task("getting the hypotheses ready", len(files)) as advance:
        for file in files:
            try:
                found.append(make_subject(file, opened, reports, progress))
            except (HypothesisError, EngineError) as error:
                name = file.hypothesis.hypothesis
                unfit.append(Apart(name=name, file=file.path, reason=str(error)))
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
        before = _demeaned(clean.logits[None], answer)
        for (of, where, _), change in zip(
            tests, (_demeaned(logits, answer) - before).tolist(), strict=True
        ):
            yield Effect(ablated=of, task=to.task.name, prompt=name, placement=where, change=change)


def _on_text(
    opened: Opened, subjects: Sequence[SpecificitySubject], number: int, advance: Advance
) -> Iterator[NeutralEffect]:
    """KL(unclamped ‖ clamped) of the next token, in nats."""
    prompt = _tokenized(opened, TEXTS[number])
    clean = clean_run(opened.model, opened.basis, prompt, {len(prompt.ids) - 1})
    tests = [everywhere(subject.supernodes, len(prompt.ids)) for subject in subjects]
    logits = _ablated(opened, clean, tests, lambda n: None)
    before = torch.log_softmax(clean.logits.double().cpu(), -1)
    kl = (before.exp() * (before - torch.log_softmax(logits.double(), -1))).sum(-1)
    for subject, value in zip(subjects, kl.clamp_min(0).tolist(), strict=True):
        yield NeutralEffect(ablated=subject.task.name, text=number, kl=value)
    advance(1)


def _ablated(
    opened: Opened, clean: CleanRun, tests: Sequence[Sequence[Place]], advance: Advance
) -> Float[Tensor, "row vocab"]:
    """Logits with each test's places set to 0."""
    rows = [Row(dict.fromkeys(places, 0.0)) for places in tests]
    logits = torch.zeros(len(rows), clean.logits.numel(), dtype=clean.logits.dtype)
    limit = batch_limit(opened.model, clean)
    for numbers, found, _ in run_rows(opened.model, opened.basis, clean, rows, limit):
        logits[numbers] = found.cpu()
        advance(len(numbers))
    return logits


def _demeaned(logits: Float[Tensor, "row vocab"], token: int) -> Float[Tensor, " row"]:
    """logit(token) − mean logit."""
    exact = logits.double().cpu()
    return exact[:, token] - exact.mean(-1)


def _tokenized(opened: Opened, text: str) -> TokenizedPrompt:
    tokenizer = opened.model.tokenizer
    ids = tuple(int(n) for n in tokenizer(text)["input_ids"])
    tokens = tuple(str(tokenizer.decode([n])) for n in ids)
    return TokenizedPrompt(
        "neutral", text, ids, tokens, {"last": (len(ids) - 1, len(ids))}, None, {}
    )
