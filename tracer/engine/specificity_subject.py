"""A hypothesis made ready for the specificity matrix: what of it is ablated, where, and its task.

Ablated is every supernode that some intervention clamps to nothing or less (×0, ×−2, = 0, a
negative addition); where there is none, every supernode that is clamped at all. All are set to 0 at
once, in one pass. A hypothesis's task is the prompts of the interventions that clamp one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.places import Place, tuples_of
from tracer.engine.members import places_of
from tracer.engine.new_record import declared_json, sha256_of
from tracer.engine.progress import Progress
from tracer.engine.resolve import open_context
from tracer.engine.session import Opened
from tracer.errors import EngineError, UsageError
from tracer.hypothesis.clamps import long_form
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize
from tracer.record import runs
from tracer.record.lock import Lock, reusable
from tracer.record.record import Record, SupernodeRecord
from tracer.record.specificity import Placement, Task


def ablated(hypothesis: Hypothesis) -> tuple[str, ...]:
    """Names of the supernodes that stand for a hypothesis, in the file's order."""
    values = [
        (name, long_form(clamp).amount.value)
        for each in hypothesis.interventions.values()
        for name, clamp in each.clamp.items()
    ]
    named = {name for name, value in values if value <= 0} or {name for name, _ in values}
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
        near: list(dict.fromkeys(at_declared(supernodes, prompt))),
        "aligned": list(dict.fromkeys(_aligned(supernodes, prompt, home))),
        "everywhere": everywhere(supernodes, len(prompt.ids)),
    }


def at_declared(supernodes: Sequence[SupernodeRecord], prompt: TokenizedPrompt) -> Iterator[Place]:
    """Each feature at its span; at the last token where the prompt has no such span."""
    for each in supernodes:
        at = each.at if each.at in prompt.spans else "last"
        yield from tuples_of(places_of(each, prompt, at).where)


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
        EngineError: A rule finds nothing, or the model gives none of the answers; or what is
            ablated holds heads.
    """
    hypothesis, model = file.hypothesis, opened.model
    heads = [name for name in ablated(hypothesis) if hypothesis.supernodes[name].is_heads]
    if heads:
        raise EngineError(f"{heads[0]!r} holds heads; only features are ablated on other tasks.")
    prompts = tokenize(file, model.tokenizer, model.context)
    older = _fitting(hypothesis, opened, reports)
    if older:
        lock = older[1]
    else:
        lock = open_context(file, model, opened.basis, prompts, None, progress).supernodes
    chosen = tuple(lock[name] for name in ablated(hypothesis))
    clean, wrong = _right_ones(hypothesis, opened, prompts)
    task = Task(
        name=hypothesis.hypothesis,
        file=file.path,
        sha256=sha256_of(declared_json(hypothesis)),
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
        if record is None or _rules(record.hypothesis) != _rules(hypothesis):
            return None
        dictionary = record.dictionary.fingerprint if record.dictionary else None
        if dictionary != opened.features.fingerprint:
            return None
        names, weights = set(hypothesis.supernodes), opened.model.record.fingerprint
        return record, reusable(record, names, opened.basis.name, weights)
    except UsageError:
        return None


def _rules(hypothesis: Hypothesis) -> tuple[object, ...]:
    return hypothesis.supernodes, hypothesis.prompts, hypothesis.template
