"""Claims through the whole line as `tracer run` takes it: file, model, supernodes, verdict.

True and false claims become hypothesis files by the same lines, written as the documentation asks:
cities that the supernodes were not found on, matched controls, wrong donors where a set was chosen
toward an answer, and a p of 0.05 corrected over the file.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracer.cli.selftest.claims import Claim, claims_about
from tracer.cli.selftest.rates import ClaimResult
from tracer.cli.selftest.scenes import Scene, make_scenes, paths
from tracer.cli.selftest.sets import ELSEWHERE, donors, supernodes
from tracer.cli.selftest.statements import NOUN, controls, tested
from tracer.engine.progress import Progress, Silent
from tracer.engine.run import measure
from tracer.hypothesis.load import read
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import write_text
from tracer.report.run import judge_and_save

N_TWINS = 5
"""Names of the one held-out text."""
N_GRAPHS = 2
"""Held-out prompts of a claim about graphs, which is consistent at best, however many there are."""
Data = dict[str, Any]


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
    """Write the file into a folder, run it there, and judge it."""
    folder.mkdir()
    path = folder / f"{claim.name}.yaml"
    write_text(path, to_yaml(hypothesis_of(claim, scene)))
    verdict = judge_and_save(measure(read(str(path)), reports=folder, progress=Silent())).verdict
    lacks = tuple(each.split(":", 1)[0] for each in verdict.missing)
    family = claim.family
    return ClaimResult(
        family.name,
        claim.kind,
        family.truth,
        verdict.verdict,
        lacks,
        claim.is_of_heads,
        family.best,
    )


def hypothesis_of(claim: Claim, scene: Scene) -> Data:
    """The file, as data; the claim's name and the scene decide every draw."""
    rng = random.Random(f"{scene.seed} {claim.name}")
    nodes, wrong = supernodes(claim, scene, rng), donors(claim.family, scene)
    recipients = _recipients(claim, scene)
    sources = _prompts(scene, {*_sources(nodes), *wrong})
    return {
        "hypothesis": claim.name,
        "claim": f"{claim.kind}: {claim.family.name}",
        "model": {"name": scene.folder, "device": "cpu"},
        "seed": rng.randrange(2**31),
        "template": scene.relation.template.replace(scene.relation.noun, f"{{{NOUN}}}", 1),
        "prompts": sources | recipients,
        "supernodes": nodes,
        **tested(claim, scene, list(recipients)),
        "controls": controls(claim, wrong),
    }


def _recipients(claim: Claim, scene: Scene) -> dict[str, Data]:
    """The prompts of the value that is to go: those it was found on, and those held out."""
    seen, unseen = scene.discovery(scene.one), scene.held_out(scene.one)
    if claim.kind in ("carried", "because"):
        seen, unseen = seen[:1], unseen[:N_GRAPHS]
    found = _prompts(scene, scene.names(seen))
    if claim.family.twins:
        twin = {**_prompt(scene, unseen[0]), "held_out": True}
        return found | {f"twin_{n}": twin for n in range(N_TWINS)}
    held_out = {"held_out": True}
    return found | {k: v | held_out for k, v in _prompts(scene, scene.names(unseen)).items()}


def _prompts(scene: Scene, used: Collection[str]) -> dict[str, Data]:
    """Prompts by the names of their cities, in the order of the cities."""
    found: dict[str, Data] = {}
    for city, name in enumerate(scene.names(range(len(scene.cities)))):
        if name in used:
            found[name] = _prompt(scene, city)
        if (other := f"{name}{ELSEWHERE}") in used:
            fact = scene.elsewhere
            answer = f" {fact.answers[fact.value_of[city]]}"
            found[other] = {"text": fact.template, "city": scene.cities[city], "answer": answer}
    return found


def _prompt(scene: Scene, city: int) -> Data:
    answer = scene.answer(scene.relation.value_of[city])
    return {"city": scene.cities[city], NOUN: scene.relation.noun, "answer": answer}


def _sources(supernodes: Mapping[str, Data]) -> Iterator[str]:
    for node in supernodes.values():
        rule = node.get("select", {})
        yield from (*node.get("source", ()), *rule.get("on", ()), *rule.get("against", ()))
        for group in rule.get("against_each", ()):
            yield from group
