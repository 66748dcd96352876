"""What judging says: outcomes of expectations, and the verdict of a hypothesis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from tracer.hypothesis.implied import Axis
from tracer.hypothesis.spec import Expected
from tracer.record.files import Recorded

OutcomeName = Literal["held", "failed", "untested", "vacuous"]
"""`vacuous`: it would have held had nothing been done, or nothing was done."""
VerdictName = Literal["confirmed", "consistent", "refuted", "inconclusive", "error"]
"""`consistent`: what was expected held, and some of the evidence of *confirmed* is missing."""
RULES = 3
"""The rules that a verdict is reached by; `docs/evidence.md` states them.

1: all that was expected held. 2: nothing vacuous, and the evidence of `tracer.evidence.strength`.
"""
SplitName = Literal["discovery", "held out"]
SPLITS: tuple[SplitName, ...] = ("discovery", "held out")


class PromptOutcome(Recorded):
    """One expectation on one prompt."""

    prompt: str
    outcome: OutcomeName
    observed: str = Field(description="For people, e.g. '+2.32 (from −1.27)'.")
    value: float | None = Field(default=None, description="The tested number, where there is one.")
    p: float | None = Field(default=None, description="p-value of the test, where it is one.")
    least_p: float | None = Field(default=None, description="The smallest its counts can give.")
    reason: str | None = Field(default=None, description="Why it is untested or vacuous.")


class Mean(Recorded):
    """The mean of a number over prompts, and how well it is known."""

    value: float
    low: float = Field(description="Bounds of the 95 % interval: subsets of whole groups.")
    high: float
    n_prompts: int
    n_groups: int
    text: str = Field(description="All of it, for people.")


class Outcome(Recorded):
    """One expectation over the prompts of one split."""

    intervention: str
    split: SplitName
    expectation: str = Field(description="E.g. 'logit( Sacramento) − logit( Austin)'.")
    expected: str = Field(description="E.g. '> 1.00 on 8 of 9 prompts'.")
    observed: str = Field(description="E.g. '9 of 9, median +3.1'.")
    outcome: OutcomeName
    reason: str | None = None
    n_held: int
    n_failed: int
    n_untested: int
    n_vacuous: int = 0
    needed: int = Field(
        description="Prompts that must hold, ceil(mostly × prompts); 0 for one test of all of them."
    )
    p: float | None = Field(
        default=None, description="Of the prompt that decides, the needed-th smallest; or of all."
    )
    least_p: float | None = Field(
        default=None, description="The smallest that one test of all prompts can give; else None."
    )
    p_adjusted: float | None = Field(
        default=None, description="Holm-corrected over the hypothesis."
    )
    wilson: tuple[float, float] | None = Field(
        description="95 % Wilson interval of held / (held + failed); None where nothing was tested."
    )
    mean: Mean | None = Field(default=None, description="Of the tested number over the prompts.")
    prompts: tuple[PromptOutcome, ...]


class Registered(Recorded):
    """When a hypothesis was fixed, and its hash."""

    at: str = Field(description="UTC, ISO 8601.")
    sha256: str


class VariantOutcome(Recorded):
    """One variation of the hypothesis, judged like the file itself."""

    name: str
    axis: Axis
    change: str = Field(description="What is otherwise, for people.")
    verdict: VerdictName | None = Field(description="None where there is nothing to judge.")
    reason: str = Field(description="Of the verdict, or why there is none.")
    same: bool | None = Field(description="As the file itself; None where one of them is open.")
    effect: str | None = Field(description="What the headline's expectation was observed to be.")
    p: float | None = Field(description="Its p, corrected as the verdict's are.")


class VariationCount(Recorded):
    """How many variations have the same verdict as the file."""

    axis: Axis | None = Field(description="Of one kind; None counts all.")
    n_same: int
    n_other: int
    n_open: int = Field(description="Of which neither can be said.")
    wilson: tuple[float, float] | None = Field(
        description="95 % Wilson interval of same / (same + other); None without any."
    )


class RobustnessVerdict(Recorded):
    """How often the verdict would have been the same."""

    verdict: VerdictName = Field(description="On what the variations repeat, unvaried.")
    reason: str = Field(description="Of that verdict.")
    headline: str = Field(description="The expectation whose effect is shown for each variation.")
    effect: str | None
    p: float | None
    total: VariationCount
    by_axis: tuple[VariationCount, ...]
    variants: tuple[VariantOutcome, ...]
    skipped: tuple[str, ...] = Field(description="Choices that turned out to be no variation.")


class Verdict(Recorded):
    """The judgement of one run; truthy exactly when it came out as the file expected."""

    schema_: Literal["tracer.verdict/1"] = Field(default="tracer.verdict/1", alias="schema")
    seal: str | None = Field(default=None, description="SHA-256, see `tracer.record.seal`.")
    run: str
    hypothesis: str
    claim: str
    verdict: VerdictName
    expected: Expected
    rules: int = Field(default=1, description="That it was reached by; see `RULES`.")
    missing: tuple[str, ...] = Field(
        default=(), description="What a consistent verdict lacks to be confirmed, a clause each."
    )
    unforeseen: tuple[str, ...] = Field(
        default=(),
        description="Where the file names the expectations that are to fail: what came out "
        "otherwise.",
    )
    formerly: VerdictName | None = Field(
        default=None, description="What older rules said of this run, where that differs."
    )
    reason: str = Field(description="One sentence: why this verdict.")
    outcomes: tuple[Outcome, ...]
    robustness: RobustnessVerdict | None = Field(default=None, description="None: not asked for.")
    caveats: tuple[str, ...] = Field(description="What a reader must be careful about.")
    post_hoc: tuple[str, ...] = Field(
        default=(), description="Parts that differ from what was registered, or else measured."
    )
    registered: Registered | None = Field(default=None, description="What it was compared with.")

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the one the file declared, or a stronger one."""
        return is_as_expected(self.verdict, self.expected, self.unforeseen)

    def __bool__(self) -> bool:
        return self.as_expected


def is_as_expected(verdict: VerdictName, expected: Expected, unforeseen: tuple[str, ...]) -> bool:
    """Whether a verdict is the one a file declared, or a stronger one, for the reasons it names."""
    if verdict == "confirmed" and expected == "consistent":
        return True
    return verdict == expected and not unforeseen


_WORST_FIRST: tuple[OutcomeName, ...] = ("failed", "untested", "vacuous", "held")


@runtime_checkable
class _Decided(Protocol):
    @property
    def outcome(self) -> OutcomeName: ...


def rank(one: _Decided) -> int:
    """The order in which outcomes are shown: what failed is 0, then untested, vacuous, held."""
    return _WORST_FIRST.index(one.outcome)


def n_expectations(outcomes: Sequence[Outcome]) -> int:
    """How many expectations these are the outcomes of: one has up to two, a split each."""
    seconds = sum(
        (one.split, other.split) == ("discovery", "held out")
        and (one.intervention, one.expectation) == (other.intervention, other.expectation)
        for one, other in pairwise(outcomes)
    )
    return len(outcomes) - seconds


def by_intervention(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Outcomes of each intervention, or of whatever else was judged, in their order."""
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.intervention, []).append(outcome)
    return found
