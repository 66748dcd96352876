"""A hypothesis made ready for the matrix: its supernodes, and the prompts that are its task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracer import runs
from tracer.clean import CleanRun, clean_run
from tracer.errors import EngineError, UsageError
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import Hypothesis
from tracer.lock import Lock, reusable
from tracer.opened import Opened
from tracer.progress import Progress
from tracer.record import Record, SupernodeRecord
from tracer.resolve import open_bench
from tracer.specificity.ablation import ablated, task_prompts
from tracer.specificity.record import Task
from tracer.tokens import TokenizedPrompt, tokenize


@dataclass(frozen=True)
class Subject:
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
) -> Subject:
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
    return Subject(task, chosen, clean)


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
