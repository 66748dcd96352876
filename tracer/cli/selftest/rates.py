"""Claims through the whole line as `tracer run` takes it: file, model, supernodes, verdict.

From verdicts on claims to error rates: false ones confirmed, and true ones not confirmed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tracer.cli.selftest.claims import Claim, Kind, Truth, claims_about
from tracer.cli.selftest.hypotheses import hypothesis_of
from tracer.cli.selftest.scenes import Scene, make_scenes, paths
from tracer.engine.progress import Progress, Silent
from tracer.engine.run import measure
from tracer.evidence.judge import judge_run
from tracer.evidence.statistics import wilson
from tracer.hypothesis.expectations.effect import Thresholds
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import write_text
from tracer.record.verdict import VerdictName
from tracer.report.run import Run, judge_and_save

FALSE_POSITIVES, FALSE_NEGATIVES = 0.01, 0.10
"""The goals: rates that are not to be passed."""


class Verdicts(NamedTuple):
    """What became of one claim, as far as rates need it."""

    who: str
    kind: Kind
    truth: Truth
    verdict: VerdictName
    uncontrolled: VerdictName


class Tally(NamedTuple):
    """Verdicts on claims of one sort."""

    truth: Truth
    n: int
    confirmed: int
    refuted: int
    inconclusive: int
    stopped: int
    """False claims that are confirmed but for their comparison with controls."""

    @property
    def errors(self) -> int | None:
        """Confirmed false claims, or true ones not confirmed; None where there is no telling."""
        return {"true": self.n - self.confirmed, "false": self.confirmed, "open": None}[self.truth]

    @property
    def rate(self) -> float | None:
        """Share of errors; None where there is no telling, or no claim."""
        return None if self.errors is None or self.n == 0 else self.errors / self.n

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the rate."""
        return None if self.errors is None or self.n == 0 else wilson(self.errors, self.n)


def tally(verdicts: Iterable[Verdicts], truth: Truth) -> Tally:
    """Count the claims of one truth."""
    own = [one for one in verdicts if one.truth == truth]
    return Tally(
        truth,
        n=len(own),
        confirmed=sum(one.verdict == "confirmed" for one in own),
        refuted=sum(one.verdict == "refuted" for one in own),
        inconclusive=sum(one.verdict == "inconclusive" for one in own),
        stopped=sum(one.uncontrolled == "confirmed" != one.verdict for one in own),
    )


def by(
    verdicts: Sequence[Verdicts], truth: Truth, key: Callable[[Verdicts], str]
) -> dict[str, Tally]:
    """A tally for every value of a key, in the order they come."""
    own = [one for one in verdicts if one.truth == truth]
    names = dict.fromkeys(key(one) for one in own)
    return {name: tally([one for one in own if key(one) == name], truth) for name in names}


def within_goals(verdicts: Sequence[Verdicts]) -> bool:
    """Whether both rates keep their goal; without a claim of either truth nothing is shown."""
    positives, negatives = tally(verdicts, "false").rate, tally(verdicts, "true").rate
    if positives is None or negatives is None:
        return False
    return positives <= FALSE_POSITIVES and negatives <= FALSE_NEGATIVES


def to_data(verdicts: Sequence[Verdicts]) -> dict[str, Any]:
    """All tallies, for JSON."""
    truths: tuple[Truth, ...] = ("false", "true", "open")
    return {
        truth: {
            "all": _data(tally(verdicts, truth)),
            "by_kind": {k: _data(t) for k, t in by(verdicts, truth, lambda v: v.kind).items()},
            "by_neurons": {k: _data(t) for k, t in by(verdicts, truth, lambda v: v.who).items()},
        }
        for truth in truths
    }


def _data(tallied: Tally) -> dict[str, Any]:
    return tallied._asdict() | {
        "errors": tallied.errors,
        "rate": tallied.rate,
        "wilson_95": tallied.interval,
    }


def run_trials(n_models: int, seed: int, out: Path | None, progress: Progress) -> list[Verdicts]:
    """Build models one after the other and try every claim about each.

    Args:
        n_models: how many; the first n of a seed are the same whatever n is.
        seed: decides words, circuits, weights and claims.
        out: a folder that keeps models, hypothesis files and runs; None leaves nothing behind.
        progress: told of every hypothesis.
    """
    found: list[Verdicts] = []
    total = sum(len(list(claims_about(path))) for path in paths(n_models))
    with _home(out) as home, progress.task("trying claims on planted models", total) as advance:
        for _, scene in make_scenes(seed, n_models, home):
            for claim in claims_about(scene.path):
                folder = Path(scene.folder) / claim.name
                found.append(try_claim(claim, scene, folder))
                if out is None:
                    shutil.rmtree(folder)
                advance(1)
    return found


@contextmanager
def _home(out: Path | None) -> Generator[Path, None, None]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="tracer_selftest_") as folder:
        yield Path(folder)


def try_claim(claim: Claim, scene: Scene, folder: Path) -> Verdicts:
    """Write the file into a folder, run it there, and judge it with and without controls."""
    folder.mkdir()
    path = folder / f"{claim.name}.yaml"
    write_text(path, to_yaml(hypothesis_of(claim, scene)))
    run = judge_and_save(measure(read(str(path)), reports=folder, progress=Silent()))
    verdict = run.verdict.verdict
    return Verdicts(claim.who.name, claim.kind, claim.who.truth, verdict, _uncontrolled(run))


def _uncontrolled(run: Run) -> VerdictName:
    asked = without_controls(run.record.hypothesis)
    return judge_run(run.record, run.arrays, hypothesis=asked).verdict


def without_controls(hypothesis: Hypothesis) -> Hypothesis:
    """The hypothesis less what it expects of controls."""
    interventions = {
        name: spec.model_copy(
            update={"expect": tuple(e for e in spec.expect if not _is_compared(e))}
        )
        for name, spec in hypothesis.interventions.items()
    }
    return hypothesis.model_copy(update={"interventions": interventions})


def _is_compared(expectation: object) -> bool:
    return isinstance(expectation, Thresholds) and expectation.alpha is not None
