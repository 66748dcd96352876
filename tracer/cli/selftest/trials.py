"""Claims through the whole line as `tracer run` takes it: file, model, supernodes, verdict.

True and false claims become hypothesis files by the same lines, written as the documentation asks:
cities that the supernodes were not found on, matched controls, and a p of 0.05 corrected over the
file.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracer.cli.selftest.claims import DOSES, QUIET, Claim, ClaimResult, Kind, claims_about
from tracer.cli.selftest.scenes import N_DISCOVERY, Group, Scene, make_scenes, paths
from tracer.engine.progress import Progress, Silent
from tracer.engine.run import measure
from tracer.evidence.judge import judge_run
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import write_text
from tracer.report.run import judge_and_save

ALPHA, N_CONTROLS = 0.05, 99
TOO_MUCH = 1.5
"""Times the largest rise of the planted swap."""
_SET_SIZES = (8, 12, 16)
_NOUN = "noun"
"""The span of the word that names the relation."""
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


def hypothesis_of(claim: Claim, scene: Scene) -> Data:
    """The file, as data; the claim's name and the scene decide every draw."""
    rng = random.Random(f"{scene.seed} {claim.name}")
    recipients = _names(scene, [*scene.discovery(scene.one), *scene.held_out(scene.one)])
    supernodes = _supernodes(claim, scene, rng)
    return {
        "hypothesis": claim.name,
        "claim": f"{claim.kind}: {claim.family.name}",
        "model": {"name": scene.folder, "device": "cpu"},
        "seed": rng.randrange(2**31),
        "template": scene.relation.template.replace(scene.relation.noun, f"{{{_NOUN}}}", 1),
        "prompts": _prompts(scene, {*recipients, *_sources(supernodes)}),
        "supernodes": supernodes,
        "interventions": {
            "test": {"prompts": recipients, "clamp": _clamp(claim), **_stated(claim, scene)}
        },
        "controls": {"random": N_CONTROLS},
    }


def _names(scene: Scene, cities: Sequence[int]) -> list[str]:
    return [scene.cities[city].lower() for city in cities]


def _prompts(scene: Scene, used: Collection[str]) -> dict[str, Data]:
    """The cities that are used, those held out that no supernode is found on."""
    held_out = _names(scene, scene.held_out(scene.one))
    return {
        name: {
            "city": scene.cities[city],
            _NOUN: scene.relation.noun,
            "answer": scene.answer(scene.relation.value_of[city]),
            "held_out": name in held_out,
        }
        for city, name in enumerate(_names(scene, range(len(scene.cities))))
        if name in used
    }


def _sources(supernodes: Mapping[str, Data]) -> Iterator[str]:
    for node in supernodes.values():
        rule = node.get("select", {})
        yield from (*node.get("source", ()), *rule.get("on", ()), *rule.get("against", ()))


def _supernodes(claim: Claim, scene: Scene, rng: random.Random) -> dict[str, Data]:
    source = claim.family.source
    rule: Data = {"rule": rng.choice(("gradient", "half")), "top": rng.choice(_SET_SIZES)}
    if source == "wrong labels":
        nodes = _mislabelled(scene, rule, rng)
    elif source in ("rule", "rule, difference"):
        nodes = _by_rule(scene, rule, toward_difference=source == "rule, difference")
    else:
        nodes = _by_id(scene, source)
    if claim.kind == "downstream":
        say = _found(scene, scene.one, scene.other, "last") | {"top": 3}
        nodes = nodes | {"say": {"select": say}}
    return nodes if _swaps(claim.kind) else {k: v for k, v in nodes.items() if k != "other"}


def _by_rule(scene: Scene, rule: Data, *, toward_difference: bool) -> dict[str, Data]:
    nodes: dict[str, Data] = {}
    for name, values in _sides(scene).items():
        select = _found(scene, *values, "city") | rule
        if toward_difference:
            select = select | {"toward": {"logit_diff": [scene.answer(v) for v in values]}}
        nodes[name] = {"select": select}
    return nodes


def _mislabelled(scene: Scene, rule: Data, rng: random.Random) -> dict[str, Data]:
    """Found on cities of neither value: what they have in common is of other values."""
    pool = _names(scene, [city for value in scene.rest for city in scene.discovery(value)])
    nodes: dict[str, Data] = {}
    for name in _sides(scene):
        dealt = rng.sample(pool, 2 * N_DISCOVERY)
        on, against = dealt[:N_DISCOVERY], dealt[N_DISCOVERY:]
        nodes[name] = {"select": {"on": on, "against": against, "at": "city", **rule}}
    return nodes


def _by_id(scene: Scene, group: Group) -> dict[str, Data]:
    return {
        name: {"features": list(ids), "at": "city", "source": _names(scene, scene.discovery(value))}
        for (name, (value, _)), ids in zip(_sides(scene).items(), scene.groups[group], strict=True)
    }


def _sides(scene: Scene) -> dict[str, tuple[int, int]]:
    """The supernodes' names, each with its own value and the one it is told from."""
    return {"one": (scene.one, scene.other), "other": (scene.other, scene.one)}


def _found(scene: Scene, on: int, against: int, at: str) -> Data:
    """A rule as anyone would write it: these cities against those, toward their answer."""
    mine, theirs = (_names(scene, scene.discovery(value)) for value in (on, against))
    return {"on": mine, "against": theirs, "at": at}


def _swaps(kind: Kind) -> bool:
    return kind not in ("ablation", "downstream")


def _clamp(claim: Claim) -> Data:
    place = {"at": _NOUN} if claim.family.elsewhere else {}
    clamps: Data = {"one": {"times": 0, **place}}
    return clamps | ({"other": {"times": 1, **place}} if _swaps(claim.kind) else {})


def _stated(claim: Claim, scene: Scene) -> Data:
    """What must happen, each time with its comparison with controls."""
    expected = scene.answer(scene.rest[0] if claim.family.wrong_answer else scene.other)
    difference = {"logit_diff": [expected, "{answer}"]}
    size = TOO_MUCH * scene.largest_rise if claim.family.too_much else scene.gap
    loses = {"probability": "{answer}", "undercuts_controls": ALPHA}
    gains = difference | {"beats_controls": ALPHA}
    match claim.kind:
        case "ablation":
            return {"expect": [{"top_is_not": "{answer}"}, loses]}
        case "downstream":
            return {"expect": [{"supernode": "say", "fraction_below": QUIET}, loses]}
        case "swap":
            return {"expect": [{"top": expected}, gains]}
        case "size":
            return {"expect": [difference | {"rises_by": size}, gains]}
        case "shift":
            return {"expect": [difference | {"rises_by": 0}, gains]}
        case "dose":
            doses = {"of": "other", "factors": list(DOSES), "expect": [{"rises": expected}]}
            return {"expect": [gains], "doses": doses}
