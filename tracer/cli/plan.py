"""`tracer plan`: how many passes a run takes, how much memory and roughly how long."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from tracer.cli import options
from tracer.cli.output import nothing_selected, print_table, stderr, stdout, worst
from tracer.cli.progress import progress_on
from tracer.cli.select import hypothesis_paths, read_all
from tracer.cli.validate import tokenize_here
from tracer.engine.cost import PromptSize
from tracer.engine.last_opened import LastOpened
from tracer.engine.model.tokenizer import TokenizerOnly
from tracer.engine.plan import IMPORT_SECONDS, Plan, make_whole_plan
from tracer.engine.progress import Progress
from tracer.errors import TracerError
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.report.screen import Screen


def plan(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> int:
    """Say how many passes a run takes, how much memory and roughly how long.

    tracer plan hypotheses/two_hop.yaml

    tracer plan --set controls.random=999
    """
    paths = hypothesis_paths(files)
    if not paths:
        return nothing_selected("there is no hypothesis file here.")
    replaced = Replacements(model, None, device, dtype, None, tuple(set_ or ())).overrides()
    found = read_all(paths, replaced)
    codes, plans = found.say_broken(), list[Plan]()
    with progress_on(stderr(), quiet=False) as progress:
        last = LastOpened[TokenizerOnly]()
        for file in found.files:
            try:
                plans.append(_plan(file, last, progress))
            except TracerError as error:
                stderr().say(str(error))
                codes.append(error.exit_code)
    for each in plans:
        _print(stdout(), each)
    if len(plans) > 1:
        stdout().say(_sum(plans))
    return worst(codes)


def _plan(file: HypothesisFile, last: LastOpened[TokenizerOnly], progress: Progress) -> Plan:
    tokens = tokenize_here(file, last, progress)
    if isinstance(tokens, str):
        stderr().say(f"{file.path}: no tokens, memory or time. {tokens}")
        return make_whole_plan(file.hypothesis)
    return make_whole_plan(
        file.hypothesis,
        sizes=_sizes(tokens.prompts),
        varied={name: _sizes(prompts) for name, prompts in tokens.paraphrased.items()},
        model=tokens.model,
        cores=os.cpu_count() or 1,
    )


def _sizes(prompts: Mapping[str, TokenizedPrompt]) -> dict[str, PromptSize]:
    return {name: PromptSize(len(p.ids), p.spans, p.ids) for name, p in prompts.items()}


def _sum(plans: Sequence[Plan]) -> str:
    """One sentence about all plans; what earlier runs left in the cache is not subtracted."""
    n_rows = sum(plan.n_rows for plan in plans)
    seconds = [plan.seconds for plan in plans if plan.seconds is not None]
    told = f"{len(plans)} hypotheses: {n_rows:,} rows"
    if len(seconds) < len(plans):
        return f"{told}; the time of {len(plans) - len(seconds)} is not known here"
    return f"{told}, roughly {_duration(IMPORT_SECONDS + sum(seconds))} in one command"


def _print(screen: Screen, plan: Plan) -> None:
    screen.say(plan.hypothesis, "bold")
    for label, value in _facts(plan):
        screen.say(f"  {label:<16} {value}")
    rows = [_row(plan, name) for name in dict.fromkeys(row.intervention for row in plan.rows)]
    headings = ("intervention", "prompts", "clamps", "doses", "controls", "rows")
    print_table(screen, [(heading, 0) for heading in headings], rows)
    screen.say()


def _facts(plan: Plan) -> list[tuple[str, str]]:
    facts = [
        ("clean passes", f"{plan.prompts}"),
        ("backward passes", f"{plan.backward}"),
        ("graphs", f"{plan.graphs}"),
        ("texts", f"{plan.texts}"),
        ("rival passes", f"{plan.rivals:,}"),
        ("neutral passes", f"{plan.neutral:,}"),
        ("rows", f"{plan.n_rows:,} (clamped versions of prompts)"),
    ]
    if plan.batches is not None:
        facts.append(("batched passes", f"{plan.batches:,}"))
    if plan.tokens is not None and plan.tokens_full:
        share = f"{100 * plan.tokens / plan.tokens_full:.0f} %"
        facts.append(("tokens", f"{plan.tokens:,}, {share} of one full pass per row"))
    if plan.bytes is not None:
        facts.append(("peak memory", f"about {plan.bytes / 2**30:.1f} GiB"))
    if plan.seconds is not None:
        guessed = ", on a GPU whose rates are a guess: none was measured" if plan.on_gpu else ""
        facts.append(("time", f"roughly {_duration(IMPORT_SECONDS + plan.seconds)}{guessed}"))
    if plan.is_emulated:
        told = "this processor has no instructions for the type: up to hundreds of times slower"
        facts.append(("careful", told))
    return facts


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _row(plan: Plan, intervention: str) -> list[str]:
    rows = [row for row in plan.rows if row.intervention == intervention]
    counts = (
        len(rows),
        sum(row.clamps for row in rows),
        sum(row.doses for row in rows),
        sum(row.controls for row in rows),
        sum(row.total for row in rows),
    )
    return [intervention, *(f"{count:,}" for count in counts)]
