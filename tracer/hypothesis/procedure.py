"""Procedure-matched controls: what the same rule finds where it should find nothing of the claim.

A set that was chosen toward an answer moves that answer, whatever it stands for: random features
are no null for it. The null is the choosing itself, repeated in the same way (Shi et al. 2024 call
this the reference class of a circuit; in randomisation tests it is the exchangeable unit):

- `donors`: the rule with prompts of another concept in place of `on`, as many of them, all with one
  answer; where prompts of that answer are in its contrast, those of `on` take their place there;
- `shuffled`: the rule with its own prompts divided between `on` and its contrast in another way;
- `answers`: the rule with another token in place of the claimed one, judged by that token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb
from typing import Literal, NamedTuple, get_args

from tracer.hypothesis.clamps import (
    HERE,
    ClampForm,
    InterventionSpec,
    LogitDiffDirection,
    TokenDirection,
    long_form,
)
from tracer.hypothesis.spec import Hypothesis, Selection
from tracer.hypothesis.template import renderings

Family = Literal["donors", "shuffled", "answers"]
FAMILIES: tuple[Family, ...] = get_args(Family)
MOST = 199
"""Sets of a family at most; of more possible ones so many are drawn."""


class ProcedureSet(NamedTuple):
    """How a rule is made anew for one control."""

    family: Family
    rule: Selection
    answer: str | None = None
    """The token in place of the claimed one, of the family `answers`."""


def claimed_token(hypothesis: Hypothesis, select: Selection) -> str | None:
    """The token that a rule moves up, as it reads on `on`; None where it reads differently."""
    match select.toward:
        case TokenDirection(token=token):
            return _read_on(hypothesis, select.on, token)
        case LogitDiffDirection(logit_diff=(token, _)):
            return _read_on(hypothesis, select.on, token)
        case _:
            answers = {hypothesis.prompts[name].answer for name in select.on}
            return answers.pop() if len(answers) == 1 else None


def _read_on(hypothesis: Hypothesis, prompts: Sequence[str], token: str) -> str | None:
    """A token as it reads on prompts, if it reads the same on all."""
    found = renderings(token, (hypothesis.prompts[name] for name in prompts))
    return found.pop() if len(found) == 1 else None


def _toward(select: Selection, token: str) -> Selection:
    """The same rule with a token in place of the claimed one."""
    if isinstance(select.toward, LogitDiffDirection):
        direction = LogitDiffDirection(logit_diff=(token, select.toward.logit_diff[1]))
    else:
        direction = TokenDirection(token=token)
    return select.model_copy(update={"toward": direction})


def put_in(hypothesis: Hypothesis, spec: InterventionSpec) -> tuple[str, ...]:
    """The supernodes whose rule is made anew: those put in, or, where none is, those taken away.

    Of several, those that were found on the same prompts as the first.
    """
    nodes = hypothesis.supernodes
    ruled = [name for name in spec.clamp if nodes[name].select is not None]
    chosen = [name for name in ruled if brings(spec.clamp[name])] or ruled
    rules = {name: nodes[name].select for name in chosen}
    first = next(iter(rules.values()), None)
    return tuple(n for n, rule in rules.items() if rule and first and rule.on == first.on)


def brings(clamp: ClampForm) -> bool:
    """Whether a clamp writes what the prompt does not have, and does not only take away."""
    long = long_form(clamp)
    return long.amount.value != 0 and long.from_ != (HERE,)


def procedure_sets(
    hypothesis: Hypothesis, name: str, spec: InterventionSpec
) -> tuple[ProcedureSet, ...]:
    """The procedure-matched controls of an intervention, the same on all of its prompts.

    Args:
        hypothesis: Its file.
        name: Its name, which the draws depend on beside the seed.
        spec: The intervention.
    """
    replaced = put_in(hypothesis, spec)
    if not replaced or not spec.is_procedure_compared:
        return ()
    select = hypothesis.supernodes[replaced[0]].select
    assert select is not None
    draw = random.Random(f"{hypothesis.seed}/{name}")  # noqa: S311 # no secret
    claimed = claimed_token(hypothesis, select)
    if claimed is None and not select.is_blind:
        return ()  # it goes toward another token on each prompt: there is no direction to keep
    # Toward the claimed token, not toward the donors' own answers: the direction stays.
    rule = select if claimed is None or select.is_blind else _toward(select, claimed)
    return (
        *_donors(hypothesis, rule, draw),
        *_shuffled(rule, draw),
        *(_answers(hypothesis, rule, claimed) if claimed and not select.is_blind else ()),
    )


def wrong_donors(hypothesis: Hypothesis, select: Selection) -> dict[str, list[str]]:
    """Donors by answer, without those of the answer that the rule itself is about."""
    own = {hypothesis.prompts[name].answer for name in select.on}
    found: dict[str, list[str]] = {}
    for name in hypothesis.controls.donors:
        answer = hypothesis.prompts[name].answer
        if answer is not None and answer not in own:
            found.setdefault(answer, []).append(name)
    return found


def _donors(hypothesis: Hypothesis, rule: Selection, draw: random.Random) -> list[ProcedureSet]:
    """Lists of donors of one answer, as long as `on`."""
    by_answer = wrong_donors(hypothesis, rule)
    lists = [on for names in by_answer.values() for on in _subsets(names, len(rule.on), draw)]
    return [ProcedureSet("donors", _exchanged(hypothesis, rule, on)) for on in _sample(lists, draw)]


def _exchanged(hypothesis: Hypothesis, rule: Selection, on: tuple[str, ...]) -> Selection:
    """The rule on wrong donors; the prompts it was on stand where theirs stood in a contrast."""
    answer = hypothesis.prompts[on[0]].answer

    def without(group: tuple[str, ...]) -> tuple[str, ...]:
        left = tuple(name for name in group if hypothesis.prompts[name].answer != answer)
        return group if len(left) == len(group) else (*left, *rule.on)

    each = tuple(map(without, rule.against_each))
    return rule.model_copy(
        update={"on": on, "against": without(rule.against), "against_each": each}
    )


def _shuffled(rule: Selection, draw: random.Random) -> Iterator[ProcedureSet]:
    """Every other division of the rule's own prompts."""
    pool, own = (*rule.on, *rule.against), set(rule.on)
    divisions = [on for on in _subsets(pool, len(rule.on), draw) if set(on) != own]
    for on in _sample(divisions, draw) if rule.against else ():
        against = tuple(name for name in pool if name not in on)
        yield ProcedureSet("shuffled", rule.model_copy(update={"on": on, "against": against}))


def _answers(hypothesis: Hypothesis, rule: Selection, claimed: str) -> Iterator[ProcedureSet]:
    """The rule toward every other token."""
    pair = rule.toward.logit_diff if isinstance(rule.toward, LogitDiffDirection) else (claimed,)
    for token in hypothesis.controls.answers:
        if token not in pair:
            yield ProcedureSet("answers", _toward(rule, token), token)


def _subsets(names: Sequence[str], size: int, draw: random.Random) -> list[tuple[str, ...]]:
    """Every list of so many of the names; of very many, a draw of them."""
    if comb(len(names), size) <= 10 * MOST:
        return list(combinations(names, size))
    found = {tuple(sorted(draw.sample(names, size), key=names.index)) for _ in range(10 * MOST)}
    return sorted(found)


def _sample(found: list[tuple[str, ...]], draw: random.Random) -> list[tuple[str, ...]]:
    return found if len(found) <= MOST else draw.sample(found, MOST)
