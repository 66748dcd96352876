"""Where clamped sets come from, and whether they beat the ones that should not do it.

Random sets are the null of "any features of this size". They are none for a set that was chosen
toward an output, nor for a concept that is put in: another concept's features move the output too,
and take the recipient's answer away. Wrong donors are the null there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracer.evidence.context import JudgingContext
from tracer.evidence.wording import counted, named
from tracer.hypothesis.clamps import HERE, ClampForm, InterventionSpec, long_form
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.dose import Falls
from tracer.hypothesis.expectations.effect import Thresholds
from tracer.hypothesis.expectations.top import TopIsNot
from tracer.hypothesis.procedure import put_in, wrong_donors
from tracer.hypothesis.studies.swaps import Swaps
from tracer.hypothesis.template import render_token

FEWEST_CONCEPTS = 4
CIRCULAR = "circular"
"""Begins the clause of a set that was chosen toward what it is judged by."""
_DONORS = "the same rule on wrong donors (`controls: {donors: …}`, `beats_procedure`)"


def of_origin(
    context: JudgingContext,
    name: str,
    spec: InterventionSpec,
    expectations: Sequence[Expectation],
) -> Iterator[str]:
    """What is missing about the sets of a claim.

    Args:
        context: The run.
        name: Of the claim.
        spec: Its clamps.
        expectations: What it expects, without what claims that nothing changes.
    """
    is_procedure_compared = any(each.is_procedure_compared for each in expectations)
    yield from of_choice(context, name, tuple(spec.clamp), is_procedure_compared)
    if is_procedure_compared:
        yield from _few_concepts(context, name, spec)
    yield from _copied(context, spec, expectations)


def of_choice(
    context: JudgingContext, name: str, clamped: Sequence[str], is_procedure_compared: bool
) -> Iterator[str]:
    """Sets that were chosen toward an output, or nobody knows how."""
    nodes = context.asked.supernodes
    given = [each for each in clamped if nodes[each].select is None]
    directed = [each for each in clamped if (rule := nodes[each].select) and not rule.is_blind]
    if directed and not is_procedure_compared:
        verb = "was" if len(directed) == 1 else "were"
        yield (
            f"{CIRCULAR}: {named(directed)} {verb} chosen toward an output, and {name} is not held "
            f"against {_DONORS}"
        )
    if given:
        verb = "is a list" if len(given) == 1 else "are lists"
        yield (
            f"{CIRCULAR}: {named(given)} {verb} of features, and nobody says that they were chosen "
            "without the output"
        )


def _few_concepts(context: JudgingContext, name: str, spec: InterventionSpec) -> Iterator[str]:
    replaced = put_in(context.asked, spec)
    select = context.asked.supernodes[replaced[0]].select if replaced else None
    n = len(wrong_donors(context.asked, select)) if select else 0
    if n < FEWEST_CONCEPTS:
        yield (
            f"wrong donors of {FEWEST_CONCEPTS} answers at least: those of {name} have "
            f"{counted(n, 'answer')}"
        )


def of_specificity(
    context: JudgingContext,
    name: str,
    spec: InterventionSpec,
    expectations: Sequence[Expectation],
) -> Iterator[str]:
    """Tokens that a concept is said to bring, where no wrong concept was tried."""
    blind = [
        each
        for each, clamp in spec.clamp.items()
        if _brings(clamp) and (rule := context.asked.supernodes[each].select) and rule.is_blind
    ]
    if not blind:
        return
    brought = [each for each in expectations if not _takes_away(each)] or expectations
    compared = {_first(each) for each in expectations if each.is_procedure_compared}
    answers = _answers_of_matrices(context)
    mine = {answers[each] for each in blind if each in answers}
    open_ = [
        token
        for token in dict.fromkeys(map(_first, brought))
        if token is not None and token not in compared and not _read(context, token, spec) <= mine
    ]
    if open_ or not any(map(_first, brought)):
        told = f" that {named(map(repr, open_))} is theirs" if open_ else ""
        yield (
            f"wrong donors: {named(blind)} {'is' if len(blind) == 1 else 'are'} put in, and {name} "
            f"does not show{told} against {_DONORS}, nor in a swap matrix of {FEWEST_CONCEPTS} "
            "concepts"
        )


def _brings(clamp: ClampForm) -> bool:
    """Whether a clamp writes what the prompt does not have, and does not only take away."""
    long = long_form(clamp)
    return long.amount.value != 0 and long.from_ != (HERE,)


def _takes_away(expectation: Expectation) -> bool:
    if isinstance(expectation, Thresholds):
        falls = expectation.below is not None or expectation.falls_by is not None
        return falls or expectation.side == "below"
    return isinstance(expectation, TopIsNot | Falls)


def _first(expectation: Expectation) -> str | None:
    """The token that is said to move, as the file writes it."""
    return expectation.tokens().get(expectation.KEY, (None,))[0]


def _read(context: JudgingContext, token: str, spec: InterventionSpec) -> set[str]:
    """A token as it reads on the prompts."""
    return {render_token(token, context.asked.prompts[prompt]) for prompt in spec.prompts}


def _answers_of_matrices(context: JudgingContext) -> Mapping[str, str]:
    """The answer of every concept of a swap matrix in which each is a wrong donor of enough."""
    found: dict[str, str] = {}
    for study in context.asked.studies_of(Swaps).values():
        for concept, prompts in study.concepts.items():
            answer = context.asked.prompts[prompts[0]].answer
            if len(study.concepts) >= FEWEST_CONCEPTS and answer is not None:
                found[concept] = answer
    return found


def _copied(
    context: JudgingContext, spec: InterventionSpec, expectations: Sequence[Expectation]
) -> Iterator[str]:
    """Donors whose own place holds the word that is expected: it is copied, not carried."""
    tokens = {token for each in expectations if (token := _first(each)) and not _takes_away(each)}
    said = {word.strip().casefold() for token in tokens for word in _read(context, token, spec)}
    for name, clamp in spec.clamp.items():
        node, long = context.record.supernodes[name], long_form(clamp)
        donors = [each for each in long.from_ or node.source if each != HERE]
        for donor in donors if _brings(clamp) else ():
            prompt = context.record.prompts[donor]
            start, end = prompt.spans.get(node.at, (0, 0))
            held = said & {each.strip().casefold() for each in prompt.tokens[start:end]}
            if held:
                yield (
                    f"donors that do not say it: {named(map(repr, sorted(held)))} stands where "
                    f"{name} is taken from, in {donor}"
                )
                break
