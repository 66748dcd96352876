"""Several tests of one hypothesis, corrected together: Holm (1979) over its expectations.

An expectation that compares a p with its alpha is one test. Its p is that of the prompt which
decides: with n prompts needed, the n-th smallest; a test of all prompts has its own. Over the
splits it is the larger, since it must hold on both. An expectation that could not be tested still
counts, so nobody gains by leaving it so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tracer.evidence.conclusion import Group, Judged, grouped
from tracer.evidence.statistics import holm
from tracer.evidence.verdict import Outcome
from tracer.evidence.wording import counted, exact, p_text


def corrected(judged: Sequence[Judged]) -> list[Judged]:
    """The same outcomes, those held that do not survive the correction taken back.

    One becomes `untested` where even the smallest p that its counts can give would not survive,
    `failed` where it might have.
    """
    groups = grouped(judged)
    tests = [number for number, group in enumerate(groups) if group[0].wording.alpha is not None]
    ps = [_p(groups[number]) for number in tests]
    adjusted = holm([1.0 if p is None else p for p in ps])
    for number, own, p in zip(tests, ps, adjusted, strict=True):
        if own is not None:
            n_splits = len(groups[number])
            groups[number] = [_judge(one, p, len(tests), n_splits) for one in groups[number]]
    return [one for group in groups for one in group]


def _p(group: Group) -> float | None:
    """The larger of its splits; None where one of them was not tested."""
    ps = [one.outcome.p for one in group]
    return None if None in ps else max(p for p in ps if p is not None)


def _least_p(outcome: Outcome) -> float:
    """The smallest p that its counts can give; of single prompts, the largest of theirs."""
    if outcome.least_p is not None:
        return outcome.least_p
    return max(each.least_p for each in outcome.prompts if each.least_p is not None)


def _judge(one: Judged, p: float, n_tests: int, n_splits: int) -> Judged:
    alpha, outcome = one.wording.alpha, one.outcome
    assert alpha is not None
    changes: dict[str, object] = {"p_adjusted": p}
    if outcome.outcome == "held" and p > alpha:
        least = n_tests * _least_p(outcome)
        together = f"corrected for {counted(n_tests, 'test')} of this hypothesis (Holm)"
        if least > alpha:
            changes["outcome"] = "untested"
            changes["reason"] = (
                f"{together}, p can reach {p_text(least)} at best, not {exact(alpha)}: "
                + ("draw more controls" if outcome.least_p is None else "add prompts")
            )
        else:
            changes["outcome"] = "failed"
            over = "over both splits and " if n_splits > 1 else ""
            changes["observed"] = f"{outcome.observed}; {over}{together}, p is {p_text(p)}"
    return one._replace(outcome=outcome.model_copy(update=changes))
