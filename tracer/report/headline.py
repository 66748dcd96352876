"""The verdict as every page shows it: its icon, how it was declared, what was changed after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from tracer.record.verdict import SPLITS, Outcome, SplitName, Verdict, n_expectations
from tracer.report.text import plural

VERDICTS = {"confirmed": "✔", "consistent": "≈", "refuted": "✖", "inconclusive": "?", "error": "!"}
OUTCOMES = {"held": "✔", "failed": "✖", "untested": "?", "vacuous": "∅"}


@dataclass(frozen=True)
class VerdictView:
    """The headline."""

    name: str
    icon: str
    reason: str
    declared: str
    """What the file declared, where that is not plain from the verdict."""
    post_hoc: str
    """Stands beside the headline; empty where nothing was changed afterwards."""


@dataclass(frozen=True)
class Count:
    """How many of something came out one way; a filter button."""

    name: str
    icon: str
    n: int


def count(icons: Mapping[str, str], names: Iterable[str]) -> tuple[Count, ...]:
    """How often each name occurs, in the icons' order."""
    found = Counter(names)
    return tuple(Count(name, icon, found[name]) for name, icon in icons.items())


def split_counts(outcomes: Sequence[Outcome]) -> tuple[tuple[SplitName, tuple[Count, ...]], ...]:
    """For each split that was judged, how many expectations came out each way on it."""
    of: list[tuple[SplitName, list[str]]] = [
        (split, [o.outcome for o in outcomes if o.split == split]) for split in SPLITS
    ]
    return tuple(
        (split, tuple(each for each in count(OUTCOMES, names) if each.n))
        for split, names in of
        if names
    )


def counted_apart(outcomes: Sequence[Outcome]) -> str:
    """'4 expectations; discovery: 2 held, 2 failed; held out: 4 held'."""
    told = (
        f"{split}: {', '.join(f'{each.n} {each.name}' for each in counts)}"
        for split, counts in split_counts(outcomes)
    )
    return "; ".join((plural(n_expectations(outcomes), "expectation"), *told))


def verdict_view(verdict: Verdict) -> VerdictView:
    """The headline of a run."""
    name = verdict.verdict
    return VerdictView(name, VERDICTS[name], verdict.reason, _declared(verdict), _post_hoc(verdict))


def _post_hoc(verdict: Verdict) -> str:
    if not verdict.post_hoc:
        return ""
    n = plural(len(verdict.post_hoc), "part")
    since = "measurement" if verdict.registered is None else "registration"
    return f"Post hoc: {n} of the file changed after the {since}."


def _declared(verdict: Verdict) -> str:
    if verdict.expected == "refuted" == verdict.verdict and not verdict.as_expected:
        return f"Published as a failure, but another one: {'; '.join(verdict.unforeseen)}."
    if verdict.expected == "refuted":
        return {
            "refuted": "Published as a failure; failed as stated.",
            "confirmed": "Published as a failure, but it held here.",
            "consistent": "Published as a failure, but it held here.",
            "inconclusive": "Published as a failure; not settled here.",
            "error": "Published as a failure; not measured here.",
        }[verdict.verdict]
    if verdict.as_expected:
        return (
            "" if verdict.verdict == "confirmed" else f"The file expected it: {verdict.expected}."
        )
    return f"The file expected this to be {verdict.expected}."


def safe_link(source: str | None) -> str | None:
    """The address if a browser would fetch it as a page, else None: it stays plain text."""
    if source is None or any(char.isspace() or not char.isprintable() for char in source):
        return None
    try:
        parts = urlsplit(source)
    except ValueError:
        return None
    return source if parts.scheme in ("http", "https") and parts.netloc else None
