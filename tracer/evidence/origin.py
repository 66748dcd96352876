"""Where clamped sets come from, and whether they beat the ones that should not do it.

Random sets are the null of "any features of this size". They are none for a set that was chosen
toward an output, nor for a concept that is put in: another concept's features move the output too,
and take the recipient's answer away. Wrong donors are the null there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tracer.evidence.context import JudgingContext
from tracer.evidence.measures.effect import compared
from tracer.evidence.moved import first_token, takes_away, words_of
from tracer.evidence.wording import counted, named
from tracer.hypothesis.clamps import HERE, InterventionSpec, long_form
from tracer.hypothesis.expectations.base import Expectation
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.procedure import brings, put_in
from tracer.hypothesis.studies.swaps import Swaps
from tracer.hypothesis.template import renderings

FEWEST_CONCEPTS = 4
FEWEST_SOURCES = 2
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
    specific = [each for each in expectations if each.is_procedure_compared]
    yield from of_choice(context, name, spec.set_supernodes, bool(specific))
    listed = [each.words() for each in spec.attention if not isinstance(each.heads, str)]
    if listed:
        yield (
            f"{CIRCULAR}: the heads of {named(listed)} are a list, and nobody says that they were "
            "chosen without the output"
        )
    yield from of_sources(context, spec.set_supernodes)
    if specific:
        yield from _looks_by_rule(context, spec)
        yield from _several_put_in(context, name, spec)
        yield from _few_concepts(context, name, spec, specific)
    yield from _copied(context, spec, expectations)


def _looks_by_rule(context: JudgingContext, spec: InterventionSpec) -> Iterator[str]:
    """Heads that a rule chose toward an output, whose patterns are set: no wrong donors do that."""
    nodes = context.asked.supernodes
    named = [each for each in spec.attention if isinstance(each.heads, str)]
    ruled = [each for each in named if (r := nodes[str(each.heads)].select) and not r.is_blind]
    if ruled:
        yield (
            f"{CIRCULAR}: the heads of {', '.join(each.words() for each in ruled)} were chosen "
            "toward an output, and no wrong donors take their place"
        )


def of_choice(
    context: JudgingContext, name: str, clamped: Sequence[str], is_procedure_compared: bool
) -> Iterator[str]:
    """Sets that were chosen toward an output, or nobody knows how."""
    nodes = context.asked.supernodes
    foreign = [each for each in clamped if context.record.supernodes[each].is_foreign]
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
        of = "heads" if all(nodes[each].is_heads for each in given) else "features"
        yield (
            f"{CIRCULAR}: {named(given)} {verb} of {of}, and nobody says that they were chosen "
            "without the output"
        )
    if foreign:
        verb = "was" if len(foreign) == 1 else "were"
        yield (
            f"{CIRCULAR}: {named(foreign)} {verb} taken from another run, by a rule or on prompts "
            "that are not this file's"
        )


def of_sources(context: JudgingContext, clamped: Sequence[str]) -> Iterator[str]:
    """Sets that were found on too few prompts, or on prompts that nobody can check."""
    rules = {name: context.asked.supernodes[name].select for name in clamped}
    few = [name for name, rule in rules.items() if rule and len(rule.on) < FEWEST_SOURCES]
    if few:
        one = "was found on one" if len(few) == 1 else "were found on one each"
        yield (
            f"{FEWEST_SOURCES} source prompts at least: {named(few)} {one}, and may carry its own "
            "identity"
        )
    sources = dict.fromkeys(n for name in clamped for n in context.record.supernodes[name].source)
    open_ = [name for name in sources if context.asked.prompts[name].answer is None]
    if open_:
        yield (
            f"answers: {named(open_)}, which features are taken from, "
            f"{'has' if len(open_) == 1 else 'have'} none, so nobody knows what the model makes of "
            "it"
        )


def _several_put_in(context: JudgingContext, name: str, spec: InterventionSpec) -> Iterator[str]:
    """Concepts that are put in together with the one that wrong donors take the place of."""
    replaced = put_in(context.asked, spec)
    rest = [n for n, clamp in spec.clamp.items() if brings(clamp) and n not in replaced]
    if rest and any(brings(spec.clamp[each]) for each in replaced):
        yield (
            f"one concept at a time: {name} puts {named(rest)} in as well, and wrong donors take "
            f"the place of {named(replaced)} alone"
        )


def _few_concepts(
    context: JudgingContext, name: str, spec: InterventionSpec, specific: Sequence[Expectation]
) -> Iterator[str]:
    """Wrong donors of too few answers; or of one answer that do as much.

    An answer counts where it is no recipient's, and is asked for in the words of the rule's own
    prompts. One number over all lists would let many weak answers hide a strong one, so the set
    must be beyond the middle list of each.
    """
    found = _lists_by_answer(context, name, spec)
    if len(found) < FEWEST_CONCEPTS:
        yield (
            f"wrong donors of {FEWEST_CONCEPTS} answers at least, asked for in the same words and "
            f"none of them a recipient's: {name} has {counted(len(found), 'answer')}"
        )
        return
    for expectation in specific:
        assert isinstance(expectation, LogitDiff | Probability)
        strong = [
            a
            for a, lists in found.items()
            if _does_as_much(context, name, spec, expectation, lists)
        ]
        if strong:
            yield (
                f"more than each wrong answer: donors of {named(map(repr, strong))} do as much for "
                f"{words_of(expectation)} in {name}"
            )


def _lists_by_answer(
    context: JudgingContext, name: str, spec: InterventionSpec
) -> Mapping[str, list[int]]:
    """Numbers of the lists of wrong donors that count, by answer."""
    replaced = put_in(context.asked, spec)
    rule = context.asked.supernodes[replaced[0]].select if replaced else None
    trials = (context.trial(name, prompt) for prompt in spec.prompts)
    trial = next((each for each in trials if not isinstance(each, str)), None)
    if rule is None or trial is None:
        return {}
    asked, found = context.asked.prompts, dict[str, list[int]]()
    recipients = {asked[prompt].answer for prompt in spec.prompts}
    words = {(asked[each].text, asked[each].messages) for each in rule.on}
    case = context.case(name, trial)
    for number, made in enumerate(case.donors):
        answer = asked[made.on[0]].answer
        same = all((asked[each].text, asked[each].messages) in words for each in made.on)
        if answer is not None and answer not in recipients and same:
            found.setdefault(answer, []).append(number)
    return found


def _does_as_much(
    context: JudgingContext,
    name: str,
    spec: InterventionSpec,
    expectation: LogitDiff | Probability,
    lists: Sequence[int],
) -> bool:
    """Whether the middle one of some lists is as far as the set itself, over the prompts."""
    own, theirs = 0.0, np.zeros(len(lists))
    for prompt in spec.prompts:
        trial = context.trial(name, prompt)
        if not isinstance(trial, str):
            case = context.case(name, trial)
            found = compared(expectation, case, case.procedure["donors"])
            own, theirs = own + found.clamped, theirs + found.controls[list(lists)]
    sign = 1 if expectation.side == "above" else -1
    return sign * float(np.median(theirs)) >= sign * own


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
        if brings(clamp) and (rule := context.asked.supernodes[each].select) and rule.is_blind
    ]
    if not blind:
        return
    brought = [each for each in expectations if not takes_away(each)] or expectations
    compared = {first_token(each) for each in expectations if each.is_procedure_compared}
    answers = _answers_of_matrices(context)
    mine = {answers[each] for each in blind if each in answers}
    open_ = [
        token
        for token in dict.fromkeys(map(first_token, brought))
        if token is not None and token not in compared and not read_on(context, token, spec) <= mine
    ]
    if open_ or not any(map(first_token, brought)):
        told = f" that {named(map(repr, open_))} is theirs" if open_ else ""
        yield (
            f"wrong donors: {named(blind)} {'is' if len(blind) == 1 else 'are'} put in, and {name} "
            f"does not show{told} against {_DONORS}, nor in a swap matrix of {FEWEST_CONCEPTS} "
            "concepts"
        )


def read_on(context: JudgingContext, token: str, spec: InterventionSpec) -> set[str]:
    """A token as it reads on an intervention's prompts."""
    return renderings(token, (context.asked.prompts[prompt] for prompt in spec.prompts))


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
    """Donors whose own place holds the word that is expected: it is copied, not carried.

    A head copies from all that stands before it. A word that the recipients say as well is there
    without being brought.
    """
    brought = (first_token(each) for each in expectations if not takes_away(each))
    words = {word for token in brought if token for word in read_on(context, token, spec)}
    said = {word.strip().casefold() for word in words}
    common = set[str].intersection(*(_words(context, prompt) for prompt in spec.prompts))
    for name, clamp in spec.clamp.items():
        node, long = context.record.supernodes[name], long_form(clamp)
        donors = [each for each in long.from_ or node.source if each != HERE]
        for donor in donors if brings(clamp) else ():
            start, end = context.record.prompts[donor].spans.get(node.at, (0, 0))
            held = said & _words(context, donor, 0 if node.heads else start, end)
            held -= common if node.heads else set()
            if held:
                where = "in sight of where" if node.heads else "where"
                yield (
                    f"donors that do not say it: {named(map(repr, sorted(held)))} stands {where} "
                    f"{name} is taken from, in {donor}"
                )
                break


def _words(
    context: JudgingContext, prompt: str, start: int = 0, end: int | None = None
) -> set[str]:
    """Tokens of a prompt, without blanks and case."""
    tokens = context.record.prompts[prompt].tokens[start:end]
    return {each.strip().casefold() for each in tokens}
