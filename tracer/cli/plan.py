"""`tracer plan`: how many passes a run takes, how much memory and roughly how long."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from tracer.cli import options
from tracer.cli.documents.plans import HypothesisPlan, PlannedIntervention, Plans, interventions
from tracer.cli.json_output import FileResult, ending, refused
from tracer.cli.output import (
    STDOUT,
    nothing_selected,
    print_table,
    require_writable_file,
    screen_beside,
    stderr,
    worst,
    write_document,
)
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


class FilePlan(NamedTuple):
    """What a run of one file takes."""

    file: str
    plan: Plan
    unknown: str | None
    """Why tokens, memory and time are not known."""


def plan(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    json_: Annotated[Path | None, options.json_file("Plans")] = None,
) -> int:
    """Say how many passes a run takes, how much memory and roughly how long.

    tracer plan hypotheses/two_hop.yaml

    tracer plan --set controls.random=999
    """
    paths = hypothesis_paths(files)
    if not paths:
        return nothing_selected("there is no hypothesis file here.")
    replaced = Replacements(model, None, device, dtype, None, tuple(set_ or ()))
    require_writable_file(json_, "--json")
    screen = screen_beside(json_)
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        found = list(_told(planned(paths, replaced, progress)))
    plans = [each for each in found if isinstance(each, FilePlan)]
    for each in plans:
        print_plan(screen, each.plan)
    if len(plans) > 1:
        screen.say(_sum([each.plan for each in plans]))
    if json_ is not None:
        write_document(json_, plans_document(found).written())
    return _code(found)


def planned(
    paths: Iterable[Path], replaced: Replacements, progress: Progress
) -> Iterator[FilePlan | FileResult]:
    """The plan of each file, or its mistakes; those that cannot be read come first."""
    found, last = read_all(paths, replaced.overrides()), LastOpened[TokenizerOnly]()
    yield from (refused(str(path), None, error) for path, error in found.broken)
    for file in found.files:
        try:
            yield _plan(file, last, progress)
        except TracerError as error:
            yield refused(file.path, file.hypothesis.hypothesis, error)


def plans_document(found: Sequence[FilePlan | FileResult]) -> Plans:
    """The plans, for programs."""
    return Plans(
        exit_code=_code(found),
        plans=tuple(HypothesisPlan.of(*each) for each in found if isinstance(each, FilePlan)),
        broken=tuple(ending(each) for each in found if isinstance(each, FileResult)),
    )


def _code(found: Sequence[FilePlan | FileResult]) -> int:
    return worst(each.code for each in found if isinstance(each, FileResult))


def _told(found: Iterable[FilePlan | FileResult]) -> Iterator[FilePlan | FileResult]:
    """The same; each that cannot be planned in full is told as it comes."""
    for each in found:
        if isinstance(each, FileResult):
            stderr().say(each.sentence or "")
        elif each.unknown is not None:
            stderr().say(f"{each.file}: no tokens, memory or time. {each.unknown}")
        yield each


def _plan(file: HypothesisFile, last: LastOpened[TokenizerOnly], progress: Progress) -> FilePlan:
    tokens = tokenize_here(file, last, progress)
    if isinstance(tokens, str):
        return FilePlan(file.path, make_whole_plan(file.hypothesis), tokens)
    whole = make_whole_plan(
        file.hypothesis,
        sizes=_sizes(tokens.prompts),
        varied={name: _sizes(prompts) for name, prompts in tokens.paraphrased.items()},
        model=tokens.model,
        cores=os.cpu_count() or 1,
    )
    return FilePlan(file.path, whole, None)


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


def print_plan(screen: Screen, plan: Plan) -> None:
    """The counts, and a row for each intervention."""
    screen.say(plan.hypothesis, "bold")
    for label, value in _facts(plan):
        screen.say(f"  {label:<16} {value}")
    rows = [_row(each) for each in interventions(plan)]
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


def _row(planned: PlannedIntervention) -> list[str]:
    counts = (planned.prompts, planned.clamps, planned.doses, planned.controls, planned.rows)
    return [planned.intervention, *(f"{count:,}" for count in counts)]
