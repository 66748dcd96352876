"""What clamps do to discovery prompts, before anything is claimed of them.

The interventions are those that the studies of a hypothesis make (`Swaps`, `Necessity`): what is
tried here is what the proposed file measures on other prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tracer.engine.batches import Row, batch_limit
from tracer.engine.clamps import assign, resolve_clamps
from tracer.engine.forward import Measured, read_of_rows
from tracer.engine.resolve import MeasurementContext
from tracer.engine.transfer import on_cpu
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.concepts import prompts_of_others
from tracer.hypothesis.studies.necessity import AblationKind, Necessity
from tracer.hypothesis.studies.swaps import Swaps, swap_name
from tracer.record.proposal import following

_STUDY = "tried"
ABLATIONS: tuple[AblationKind, ...] = ("zero", "mean")
"""Those that take a set away; the opposite of it, `inhibit`, adds something."""


class _Wanted(NamedTuple):
    """One clamped pass, and the difference of two logits that is read of it."""

    key: tuple[str, str]
    spec: InterventionSpec
    prompt: str
    toward: int
    against: int


class _Seen(NamedTuple):
    change: float
    """Of logit(toward) − logit(against), clamped minus unclamped."""
    is_first: bool
    """Whether `toward` has the greatest logit, clamped."""


class SwapEffects(NamedTuple):
    """Every concept of discovery prompts put in place of every other."""

    n_right: int
    n_swaps: int
    effects: Mapping[tuple[str, str], tuple[float, ...]]
    """See `TriedSets`."""


def swapped(
    context: MeasurementContext, prompts: Mapping[str, tuple[str, ...]], answers: Mapping[str, int]
) -> SwapEffects:
    """Put every concept's set in place of every other's, on the prompts of the other.

    Args:
        context: Its supernodes are the concepts'.
        prompts: By concept.
        answers: The token that each concept is to bring.
    """
    specs = dict(Swaps(concepts=dict(prompts), off=None).interventions(_STUDY))
    wanted = [
        _Wanted((own, donor), specs[swap_name(_STUDY, own, donor)], prompt, answers[donor], own_id)
        for own, names in prompts.items()
        for donor in prompts
        if donor != own
        for prompt in names
        for own_id in [_answer(context, prompt)]
    ]
    found = _effects(context, wanted)
    n_right = sum(each.is_first for many in found.values() for each in many)
    effects = {key: tuple(each.change for each in many) for key, many in found.items()}
    return SwapEffects(n_right, len(wanted), effects)


def removed(
    context: MeasurementContext, prompts: Mapping[str, tuple[str, ...]], answers: Mapping[str, int]
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Take each concept's set away on its own prompts, in several ways.

    Returns:
        By concept and kind: the change of logit(own answer) − logit(the next concept's answer).
    """
    wanted: list[_Wanted] = []
    for own, names in prompts.items():
        other = following(own, list(prompts))
        study = Necessity.model_construct(
            prompts=names,
            ablate=(own,),
            kinds=ABLATIONS,
            reference=prompts_of_others(prompts, own),
            freeze="none",
            expect=(),
        )
        for name, spec in study.interventions(_STUDY):
            kind = name.removeprefix(f"{_STUDY}.")
            wanted += [
                _Wanted((own, kind), spec, prompt, _answer(context, prompt), answers[other])
                for prompt in names
            ]
    by_concept: dict[str, dict[str, tuple[float, ...]]] = {own: {} for own in prompts}
    for (own, kind), many in _effects(context, wanted).items():
        by_concept[own][kind] = tuple(each.change for each in many)
    return by_concept


def _answer(context: MeasurementContext, prompt: str) -> int:
    found = context.clean[prompt].prompt.answer_id
    assert found is not None
    return found


def _effects(
    context: MeasurementContext, wanted: Sequence[_Wanted]
) -> dict[tuple[str, str], list[_Seen]]:
    """What each pass did, by key, in the order given; passes of one prompt run together."""
    seen: dict[int, _Seen] = {}
    for prompt in dict.fromkeys(each.prompt for each in wanted):
        mine = [number for number, each in enumerate(wanted) if each.prompt == prompt]
        of_rows = _of_prompt(context, prompt, [wanted[number] for number in mine])
        seen.update((mine[row], each) for row, each in of_rows)
    found: dict[tuple[str, str], list[_Seen]] = {}
    for number, each in enumerate(wanted):
        found.setdefault(each.key, []).append(seen[number])
    return found


def _of_prompt(
    context: MeasurementContext, prompt: str, wanted: Sequence[_Wanted]
) -> Iterator[tuple[int, _Seen]]:
    model, clean = context.model, context.clean[prompt]
    before = clean.logits.double().cpu()
    rows = [
        Row(assign(resolve_clamps(w.spec, context.supernodes, context.clean, prompt), clean).values)
        for w in wanted
    ]

    def read(measured: Measured) -> list[tuple[int, _Seen]]:
        logits, first = on_cpu([measured.logits, measured.logits.argmax(dim=-1)])
        found: list[tuple[int, _Seen]] = []
        for number, row, top in zip(measured.rows, logits.double(), first.tolist(), strict=True):
            _, _, _, toward, against = wanted[number]
            change = (row[toward] - row[against]) - (before[toward] - before[against])
            found.append((number, _Seen(float(change), top == toward)))
        return found

    limit = batch_limit(model, clean)
    for batch in read_of_rows(model, context.basis, clean, rows, limit, read):
        yield from batch
