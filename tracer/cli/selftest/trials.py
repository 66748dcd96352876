"""Claims through the whole line as `tracer run` takes it: file, model, supernodes, verdict."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tracer.cli.selftest.claims import Claim, claims_about
from tracer.cli.selftest.hypotheses import hypothesis_of
from tracer.cli.selftest.rates import ClaimResult
from tracer.cli.selftest.scenes import Scene, make_scenes, paths
from tracer.engine.progress import Progress, Silent
from tracer.engine.run import measure
from tracer.evidence.judge import judge_run
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import write_text
from tracer.report.run import judge_and_save


def run_trials(n_models: int, seed: int, out: Path | None, progress: Progress) -> list[ClaimResult]:
    """Build models one after the other and try every claim about each.

    Args:
        n_models: how many; the first n of a seed are the same whatever n is.
        seed: decides words, circuits, weights and claims.
        out: a folder that keeps models, hypothesis files and runs; None leaves nothing behind.
        progress: told of every hypothesis.
    """
    found: list[ClaimResult] = []
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


def try_claim(claim: Claim, scene: Scene, folder: Path) -> ClaimResult:
    """Write the file into a folder, run it there, and judge it with and without controls."""
    folder.mkdir()
    path = folder / f"{claim.name}.yaml"
    write_text(path, to_yaml(hypothesis_of(claim, scene)))
    run = judge_and_save(measure(read(str(path)), reports=folder, progress=Silent()))
    asked = without_controls(run.record.hypothesis)
    uncontrolled = judge_run(run.record, run.arrays, hypothesis=asked).verdict
    family, verdict = claim.family, run.verdict.verdict
    return ClaimResult(family.name, claim.kind, family.truth, verdict, uncontrolled)


def without_controls(hypothesis: Hypothesis) -> Hypothesis:
    """The hypothesis less what it expects of controls."""
    interventions = dict(hypothesis.interventions)
    for name, spec in interventions.items():
        kept = [e for e in spec.expect if not e.is_compared]
        interventions[name] = spec.model_copy(update={"expect": tuple(kept)})
    return hypothesis.model_copy(update={"interventions": interventions})
