"""Which score finds the better supernodes: the plain gradient, or the half rule.

    python benchmarks/selection.py

On the discovery prompts of `benchmarks/swap.yaml` only: *Texas* and *California* are found with
either rule at several sizes, and the change of logit( Sacramento) − logit( Austin), averaged over
the recipient prompts, tells how thoroughly ablating and swapping them works.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

from clamps import open_all

from tracer.engine.batches import batch_limit
from tracer.engine.measure.prompts import measure_prompt
from tracer.engine.resolve import MeasurementContext
from tracer.engine.supernodes import RuleScores, select
from tracer.hypothesis.spec import Rule, SupernodeSpec
from tracer.record.trials import Reading

SIZES = (10, 20, 40, 80, 160, 320)
INTERVENTIONS = ("ablate_texas", "texas_to_california")


def with_rule(bench: MeasurementContext, rule: Rule, top: int) -> MeasurementContext:
    """The bench with its supernodes found by another rule, and no controls or doses."""
    supernodes = dict(bench.supernodes)
    scores = RuleScores(bench.model, bench.basis, bench.clean, bench.hypothesis.prompts)
    for name in ("texas", "california"):
        spec = bench.hypothesis.supernodes[name]
        assert spec.select is not None
        changed = SupernodeSpec(select=spec.select.model_copy(update={"by": rule, "top": top}))
        supernodes[name] = select(name, changed, scores)
    interventions = {
        name: bench.hypothesis.interventions[name].model_copy(update={"expect": (), "doses": None})
        for name in INTERVENTIONS
    }
    hypothesis = bench.hypothesis.model_copy(update={"interventions": interventions})
    return replace(bench, supernodes=supernodes, hypothesis=hypothesis)


def difference(tokens: Reading) -> float:
    """Logit( Sacramento) − logit( Austin)."""
    return tokens.tokens[" Sacramento"].logit - tokens.tokens[" Austin"].logit


def effects(bench: MeasurementContext, clean: Mapping[str, float]) -> list[float]:
    """Mean change of the logit difference over the recipient prompts, by intervention."""
    sums = dict.fromkeys(INTERVENTIONS, 0.0)
    for prompt, before in clean.items():
        limit = batch_limit(bench.model, bench.clean[prompt])
        found = measure_prompt(bench, prompt, limit, lambda n: None)
        for name in INTERVENTIONS:
            sums[name] += difference(found.trials[name].reading) - before
    return [total / len(clean) for total in sums.values()]


def main() -> None:
    """Measure and print."""
    _, bench = open_all("auto")
    recipients = bench.hypothesis.interventions["ablate_texas"].prompts
    clean: dict[str, float] = {}
    for name in recipients:
        run = bench.clean[name]
        ids = [run.prompt.asked[token] for token in (" Sacramento", " Austin")]
        clean[name] = float(run.logits[ids[0]] - run.logits[ids[1]])
    out = sys.stdout
    out.write(f"prompts: {', '.join(recipients)}\n")
    out.write("size   gradient: ablate   swap   half rule: ablate   swap\n")
    for size in SIZES:
        plain = effects(with_rule(bench, "gradient", size), clean)
        half = effects(with_rule(bench, "half", size), clean)
        out.write(
            f"{size:4}   {plain[0]:+16.2f} {plain[1]:+6.2f}   {half[0]:+17.2f} {half[1]:+6.2f}\n"
        )


if __name__ == "__main__":
    main()
