"""How often `tracer propose` is right: on planted models, with true labels and with shuffled ones.

    python benchmarks/proposals.py --models 30

Each table has 32 cities of a planted model (see docs/selftest.md), eight of each of four values;
the concept of a city is its value. The tables of a model are the true one, one whose answers are
shuffled among its rows, and one whose concepts are. What is proposed is judged as `tracer run`
does. Confirmed or consistent is a false positive with shuffled labels; so it is with true ones on a
`memory`, where heads carry the city's own code and no feature has a part in the answer.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tracer.api import hypotheses
from tracer.api.proposal import propose
from tracer.cli.selftest.planted import build
from tracer.cli.selftest.world import CircuitPath, World, make_plan
from tracer.engine.progress import Silent
from tracer.errors import HypothesisError, UsageError
from tracer.evidence.statistics import wilson
from tracer.hypothesis.concepts import of_table
from tracer.hypothesis.spec import ModelSpec
from tracer.record.registration import register

VALUES = (0, 1, 2, 3)
FIRST_SEED = 200
"""Models of lower seeds were looked at while `propose` was written."""
PATHS: tuple[CircuitPath, ...] = ("two_hop", "shortcut", "memory")


class Outcome(NamedTuple):
    """One table."""

    path: CircuitPath
    labels: str
    verdict: str
    """That of its run; `refused` before anything is measured, `not proposed` after the baseline."""
    rate: float
    """Of the swaps on discovery prompts."""


def rows_of(world: World) -> list[tuple[str, str, str]]:
    """City, value and answer."""
    relation = world.relations[0]
    return [
        (world.cities[city], f"value_{value}", f" {relation.answers[value]}")
        for value in VALUES
        for city in relation.cities(value)
    ]


def tables_of(world: World, rng: random.Random) -> dict[str, list[tuple[str, str, str]]]:
    """The true table, and those that are shuffled."""
    rows = rows_of(world)
    cities, values, answers = (list(column) for column in zip(*rows, strict=True))
    drawn = [rng.sample(column, len(column)) for column in (answers, values)]
    return {
        "true": rows,
        "shuffled answers": list(zip(cities, drawn[0], drawn[0], strict=True)),
        "shuffled concepts": list(zip(cities, drawn[1], answers, strict=True)),
    }


def write_table(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """As `--table` reads it."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("city", "value", "answer"), *rows])


def outcome(spec: ModelSpec, template: str, table: Path, seed: int) -> tuple[str, float]:
    """What is proposed of a table, and what becomes of it."""
    file, reports = table.with_suffix(".yaml"), table.parent / "reports"
    try:
        asked = of_table(template, str(table), "value")
    except HypothesisError:
        return "refused", float("nan")
    try:
        made = propose(
            asked,
            spec,
            "neurons",
            name="proposed",
            path=str(file),
            seed=seed,
            progress=Silent(),
        )
    except UsageError:
        return "not proposed", float("nan")
    file.write_text(made.file.text, encoding="utf-8")
    register(reports, made.file.hypothesis, datetime.now(UTC))
    run = hypotheses.run(file, reports=reports, cache=False)
    return run.verdict.verdict, made.discovery.chosen.rate


def outcomes(n: int, kinds: Sequence[CircuitPath]) -> Iterator[Outcome]:
    """All tables of `n` models of these kinds, in turn."""
    for number in range(n):
        path = kinds[number % len(kinds)]
        planted = build(make_plan(FIRST_SEED + number, path))
        world, rng = planted.plan.world, random.Random(f"labels {number}")
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            planted.save(home / "model")
            spec = ModelSpec(name=str(home / "model"), device="cpu")
            for labels, rows in tables_of(world, rng).items():
                table = home / labels / "cities.csv"
                table.parent.mkdir()
                write_table(table, rows)
                template = world.relations[0].template
                yield Outcome(path, labels, *outcome(spec, template, table, number))


def main() -> None:
    """Print each table, then the rates."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=30, help="three tables each")
    parser.add_argument("--path", choices=PATHS, help="only models of this kind")
    given = parser.parse_args()
    began, found = time.perf_counter(), list[Outcome]()
    for each in outcomes(given.models, [given.path] if given.path else PATHS):
        found.append(each)
        told = f"{each.path:9} {each.labels:18} {each.verdict:13} discovery {each.rate:.2f}"
        print(told, flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")
    for labels in dict.fromkeys(each.labels for each in found):
        for path in PATHS:
            mine = [each for each in found if (each.labels, each.path) == (labels, path)]
            n = sum(each.verdict in ("confirmed", "consistent") for each in mine)
            low, high = wilson(n, len(mine)) if mine else (0.0, 1.0)
            verdicts = dict(Counter(each.verdict for each in mine))
            rate = f"{n} of {len(mine)} (95 %: {low:.2f} to {high:.2f})"
            print(f"{labels:18} {path:9} confirmed or consistent {rate}  {verdicts}")


if __name__ == "__main__":
    main()
