"""`tracer run --fdr`: the false discovery rate over the hypotheses of one command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tracer.cli.json_output import FileResult
from tracer.errors import EXIT_NOT_CONFIRMED, UsageError, listed
from tracer.evidence.family import UPHELD, family_of
from tracer.evidence.wording import exact, p_text
from tracer.record.family import FamilyMember, HypothesisFamily, write_family
from tracer.report.screen import Screen


def require_family(rate: float | None, *, shard: bool, failed: bool, exitfirst: bool) -> None:
    """Refuse a rate that is none, and what runs a part of the family: it would be of a choice.

    Raises:
        UsageError: The rate is not between 0 and 1, or one of these options is given with it.
    """
    if rate is None:
        return
    if not 0 < rate < 1:
        raise UsageError(f"--fdr {rate:g}: a rate is above 0 and below 1, e.g. 0.05.")
    given = {"--shard": shard, "--failed": failed, "--exitfirst": exitfirst}
    if parts := [name for name, is_given in given.items() if is_given]:
        raise UsageError(
            f"--fdr with {listed(parts)}: the rate is controlled over all hypotheses that a "
            "command selects, and not all would be run. Select with -k or -t."
        )


class Together(NamedTuple):
    """The results of a command, and the family that they are."""

    results: list[FileResult]
    family: HypothesisFamily | None


def judged_together(results: Sequence[FileResult], rate: float | None, reports: Path) -> Together:
    """The results, those upheld by their file but no discoveries of the family not as expected.

    The family is put beside the runs; without a rate there is none.

    Raises:
        OSError: It cannot be written.
    """
    if rate is None:
        return Together(list(results), None)
    family = family_of([each.verdict for each in results if each.verdict is not None], rate)
    write_family(reports, family)
    return Together([_result(each, family) for each in results], family)


def _result(result: FileResult, family: HypothesisFamily) -> FileResult:
    member = None if result.verdict is None else family.of(result.verdict.run)
    if member is None or not _is_taken_back(member):
        return result
    return result._replace(code=EXIT_NOT_CONFIRMED)


def _is_taken_back(member: FamilyMember) -> bool:
    is_within = member.reason is None and member.verdict in UPHELD
    return is_within and not member.discovery


def say_family(screen: Screen, family: HypothesisFamily | None) -> None:
    """Print what a family came to; nothing where none was asked for."""
    for line in () if family is None else family_lines(family):
        screen.say(line)


def family_lines(family: HypothesisFamily) -> Iterator[str]:
    """What the family came to, and what it takes back or leaves out, for the terminal."""
    yield (
        f"false discovery rate {exact(family.rate)} (Benjamini and Yekutieli): "
        f"{family.n_discoveries} of {family.size} hypotheses are discoveries"
    )
    for member in family.members:
        if _is_taken_back(member):
            yield f"  {member.hypothesis}: {member.verdict}, but no discovery: {_why(member)}"
        elif member.reason is not None:
            yield f"  {member.hypothesis}: {member.verdict}, not in the family: {member.reason}"


def _why(member: FamilyMember) -> str:
    assert member.p is not None and member.q is not None
    found = f"p {p_text(member.p)}, adjusted {p_text(member.q)}"
    if member.reachable:
        return found
    return f"{found}; its controls cannot give a p that is small enough: draw more"
