"""`tracer validate` and `tracer plan`: what is wrong with a file, and what a run of it costs.

What can be known of a file's tokens here and now: no download, no conversion, no weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from tracer import engine
from tracer.cli import options
from tracer.cli.output import Ending, stderr, stdout, to_json, worst, write_stdout
from tracer.cli.progress import progress_on
from tracer.cli.select import Broken, gather, read_all
from tracer.engine.cost import ModelSize
from tracer.engine.last_opened import LastOpened
from tracer.engine.model.hf_folder import read_config
from tracer.engine.model.sources import locate
from tracer.engine.plan import IMPORT_SECONDS, Plan, PromptSize, make_whole_plan
from tracer.engine.progress import Progress
from tracer.errors import EXIT_NOTHING_SELECTED, EXIT_OK, HypothesisError, Mistake, TracerError
from tracer.hypothesis.implied import measurable_variations
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize
from tracer.report.terminal import Screen

NO_LIMIT = 2**31
"""Context length of a model whose config does not say."""
_WHY_NOT = {
    "to convert": "its data package is installed but not converted yet, which the first run does",
    "to download": "it is not in the hub's cache",
}


class Tokenized(NamedTuple):
    """A file's prompts as its model's tokenizer reads them, and the model's sizes."""

    prompts: Mapping[str, TokenizedPrompt]
    paraphrased: Mapping[str, Mapping[str, TokenizedPrompt]]
    """By the name of the variation that has another template."""
    model: ModelSize | None


def why_not_here(file: HypothesisFile) -> str | None:
    """Why the file's tokenizer is not at hand; None where it is."""
    spec = file.hypothesis.model_spec
    location = locate(spec)
    if location.state == "ready":
        return None
    return f"{spec.name}: {location.reason or _WHY_NOT[location.state]}"


def tokenize_here(file: HypothesisFile, last: LastOpened[Any], progress: Progress) -> Tokenized:
    """Tokenize with a model that `why_not_here` has no objection to.

    Raises:
        HypothesisError: with every token and prompt that does not fit this model.
        ModelUnavailable: what is there cannot be read.
    """
    spec = file.hypothesis.model_spec
    opened, config = last.get(spec, lambda: _open(spec, progress))
    tokenizer: Any = opened.tokenizer
    context = opened.context or NO_LIMIT
    prompts = tokenize(file, tokenizer, context)
    paraphrased = _paraphrased(file, tokenizer, context)
    return Tokenized(prompts, paraphrased, ModelSize.from_config(config))


def _open(spec: ModelSpec, progress: Progress) -> tuple[Any, Any]:
    """A model's tokenizer and its config."""
    with progress.task(f"opening the tokenizer of {spec.name}"):
        opened = engine.model.weights.open_tokenizer(spec, progress)
        return opened, read_config(engine.model.weights.ready_tokenizer(spec, progress))


def _paraphrased(
    file: HypothesisFile, tokenizer: Any, context: int
) -> dict[str, dict[str, TokenizedPrompt]]:
    found: dict[str, dict[str, TokenizedPrompt]] = {}
    mistakes: list[Mistake] = []
    for each in measurable_variations(file.hypothesis):
        if each.axis != "template":
            continue
        try:
            varied = replace(file, hypothesis=each.hypothesis)
            found[each.name] = tokenize(varied, tokenizer, context)
        except HypothesisError as error:
            first = error.mistakes[0]
            place = ("robustness", "templates", each.name.removeprefix("template-"))
            mistakes.append(file.mistake(place, f"with it, {first.where}: {first.message}"))
    if mistakes:
        raise HypothesisError(file.path, mistakes)
    return found


VALIDATION = "tracer.validation/1"
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def validate(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    json_: Json = False,
) -> int:
    """Find every mistake in hypothesis files, without running anything.

    Tokens are checked where the model's tokenizer is already here; nothing is downloaded.

    tracer validate

    tracer validate hypotheses/two_hop.yaml --model smollm2-135m
    """
    paths = gather(files or [])
    if not paths:
        return _nothing()
    found = read_all(paths, Replacements(model=model, set=tuple(set_ or ())).overrides())
    screen = stderr() if json_ else stdout()
    endings = [_broken(broken) for broken in found.broken]
    with progress_on(stderr(), quiet=json_) as progress:
        last = LastOpened[Any]()
        endings += [_checked(file, screen, last, progress) for file in found.files]
    code = worst(ending.code for ending in endings)
    if json_:
        write_stdout(to_json(endings, code, VALIDATION))
    return code


def _nothing() -> int:
    stderr().say("nothing selected: there is no hypothesis file here.")
    return EXIT_NOTHING_SELECTED


def _broken(broken: Broken) -> Ending:
    return _refused(str(broken.path), None, broken.error)


def _refused(path: str, name: str | None, error: TracerError) -> Ending:
    stderr().say(str(error))
    return Ending(path, name, error.exit_code, error=error, sentence=str(error))


def _checked(
    file: HypothesisFile, screen: Screen, last: LastOpened[Any], progress: Progress
) -> Ending:
    name = file.hypothesis.hypothesis
    unchecked = why_not_here(file)
    if unchecked is None:
        try:
            tokenize_here(file, last, progress)
        except TracerError as error:
            return _refused(file.path, name, error)
    screen.say(f"{file.path}: ok", "green")
    if unchecked is not None:
        screen.say(f"{file.path}: tokens were not checked. {unchecked}")
    return Ending(file.path, name, EXIT_OK)


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
    paths = gather(files or [])
    if not paths:
        return _nothing()
    replaced = Replacements(model, None, device, dtype, None, tuple(set_ or ())).overrides()
    found = read_all(paths, replaced)
    codes = [_broken(broken).code for broken in found.broken]
    with progress_on(stderr(), quiet=False) as progress:
        last = LastOpened[Any]()
        plans = [_planned(file, last, progress) for file in found.files]
    counted = [planned for planned in plans if isinstance(planned, Plan)]
    codes += [planned.code for planned in plans if isinstance(planned, Ending)]
    for each in counted:
        print_plan(stdout(), each)
    if len(counted) > 1:
        stdout().say(_whole(counted))
    return worst(codes)


def _whole(plans: Sequence[Plan]) -> str:
    """All in one sentence; nothing that earlier runs left in the cache is taken off."""
    n_rows = sum(plan.n_rows for plan in plans)
    seconds = [plan.seconds for plan in plans if plan.seconds is not None]
    told = f"{len(plans)} hypotheses: {n_rows:,} rows"
    if len(seconds) < len(plans):
        return f"{told}; the time of {len(plans) - len(seconds)} is not known here"
    return f"{told}, roughly {_duration(IMPORT_SECONDS + sum(seconds))} in one command"


def _planned(file: HypothesisFile, last: LastOpened[Any], progress: Progress) -> Plan | Ending:
    cores = os.cpu_count() or 1
    unknown = why_not_here(file)
    if unknown is not None:
        stderr().say(f"{file.path}: no tokens, memory or time. {unknown}")
        return make_whole_plan(file.hypothesis)
    try:
        here = tokenize_here(file, last, progress)
    except TracerError as error:
        return _refused(file.path, file.hypothesis.hypothesis, error)
    return make_whole_plan(
        file.hypothesis,
        sizes=_sizes(here.prompts),
        varied={name: _sizes(prompts) for name, prompts in here.paraphrased.items()},
        model=here.model,
        cores=cores,
    )


def _sizes(prompts: Mapping[str, TokenizedPrompt]) -> dict[str, PromptSize]:
    return {name: PromptSize(len(p.ids), p.spans, p.ids) for name, p in prompts.items()}


def print_plan(screen: Screen, plan: Plan) -> None:
    """The plan's counts, then one row per intervention."""
    screen.say(plan.hypothesis, "bold")
    for label, value in _facts(plan):
        screen.say(f"  {label:<16} {value}")
    cells = [_row(screen, plan, name) for name in dict.fromkeys(r.intervention for r in plan.rows)]
    headings = ("intervention", "prompts", "clamps", "doses", "controls", "rows")
    screen.table([(heading, 0) for heading in headings], cells)
    screen.say()


def _facts(plan: Plan) -> list[tuple[str, str]]:
    facts = [
        ("clean passes", f"{plan.prompts}"),
        ("backward passes", f"{plan.backward}"),
        ("graphs", f"{plan.graphs}"),
        ("texts", f"{plan.texts}"),
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
        facts.append(("time", f"roughly {_duration(IMPORT_SECONDS + plan.seconds)}"))
    return facts


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _row(screen: Screen, plan: Plan, intervention: str) -> list[Text]:
    rows = [r for r in plan.rows if r.intervention == intervention]
    counts = (
        len(rows),
        sum(r.clamps for r in rows),
        sum(r.doses for r in rows),
        sum(r.controls for r in rows),
        sum(r.total for r in rows),
    )
    return [screen.text(intervention), *(screen.text(f"{count:,}") for count in counts)]
