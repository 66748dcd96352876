"""The tools around a verdict: `validate`, `plan`, `run`, `show` and `compare`."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from tracer.cli.compare import compared_run, print_comparison, tolerances_of
from tracer.cli.documents.comparison import Comparison
from tracer.cli.documents.listing import ShownRun
from tracer.cli.documents.plans import Plans
from tracer.cli.documents.results import Validation, Verdicts
from tracer.cli.json_output import FileResult, validation, verdicts
from tracer.cli.mcp.links import run_links
from tracer.cli.mcp.tool import (
    FileArguments,
    McpTool,
    ToolAnswer,
    ToolArguments,
    Workplace,
    printed,
)
from tracer.cli.measuring import Failure, failed, judged
from tracer.cli.plan import FilePlan, planned, plans_document, print_plan
from tracer.cli.runs import shown
from tracer.cli.validate import checked
from tracer.engine.progress import Progress
from tracer.evidence.baseline_run import Essentials
from tracer.evidence.regression import compare as compared
from tracer.hypothesis.load import Replacements
from tracer.record.runs import resolve
from tracer.record.verdict import Verdict
from tracer.report.run import Run
from tracer.report.screen import Screen
from tracer.report.terminal import print_verdict

_RUN = "A run's id, a hypothesis (its latest run), `latest`, or a run folder inside."


def validate(given: FileArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Find every mistake in a hypothesis file, each with its line, without running anything.

    Tokens, layers and heads are checked where the model's tokenizer is on this machine.
    """
    path = at.allowed(given.file, given.replaced)
    results = list(checked([path], given.replaced, progress))
    code = max(result.code for result in results)
    lines = [line for result in results for line in _said(result)]
    return ToolAnswer(validation(results, code), "\n".join(lines))


def _said(result: FileResult) -> list[str]:
    ending = result.sentence if result.sentence is not None else f"{result.file}: ok"
    return [ending, *(f"{result.file}: {note}" for note in result.notes)]


def plan(given: FileArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Say how many passes a run of a file takes, how much memory and roughly how long."""
    path = at.allowed(given.file, given.replaced)
    [found] = planned([path], given.replaced, progress)
    told = plans_document([found])
    if not isinstance(found, FilePlan):
        return ToolAnswer(told, found.sentence or "", is_error=True)
    plan = found.plan
    words = printed(lambda screen: print_plan(screen, plan))
    more = f"\nno tokens, memory or time. {found.unknown}" if found.unknown else ""
    return ToolAnswer(told, words + more)


class RunArguments(FileArguments):
    """A hypothesis file to measure and judge."""

    features: str | None = Field(default=None, description="Another feature basis.")
    seed: int | None = Field(default=None, description="Of the random controls.")
    fresh: bool = Field(default=False, description="Do not take up an unfinished run.")
    per_prompt: bool = Field(
        default=False, description="Also tell what came out on each prompt, as `show` can later."
    )

    @property
    def replaced(self) -> Replacements:
        """As `tracer run` takes them."""
        return Replacements(self.model, self.features, None, None, self.seed, self.set)


def run(given: RunArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Measure a hypothesis, judge it, and write its report.

    It may take minutes (`plan` tells) and reports its progress. A run that was cut off, cancelled
    or killed is taken up by the same call. The verdict is confirmed, consistent, refuted or
    inconclusive; a refuted hypothesis is a result and no error.
    """
    file = at.read(given.file, given.replaced)
    at.folders.inside(at.measuring.reports / file.hypothesis.hypothesis)
    end = replace(at.measuring, fresh=given.fresh).end_of(file, progress)
    if isinstance(end, Failure):
        result = failed(file.path, file, end)
        told = result.sentence or result.skipped or ""
        return ToolAnswer(verdicts([result], result.code), told, is_error=True)
    result = judged(file.path, end, strict=True)
    told = result._replace(verdict=_shortened(end.verdict, given.per_prompt))
    words = _verdict_words(end, per_prompt=given.per_prompt)
    return ToolAnswer(verdicts([told], result.code), words, run_links(end.record.id))


class ShowArguments(ToolArguments):
    """A run."""

    run: str = Field(description=_RUN)
    per_prompt: bool = Field(default=False, description="Also what came out on each prompt.")


def show(given: ShowArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Tell the verdict of an earlier run again; nothing is measured or written."""
    at.folders.inside(given.run)
    folder = at.folders.whole(resolve(given.run, at.measuring.reports))
    with progress.task("judging the run"):
        opened = Run.open(folder)
    told = shown(opened).model_copy(
        update={"verdict": _shortened(opened.verdict, given.per_prompt)}
    )
    words = _verdict_words(opened, per_prompt=given.per_prompt)
    return ToolAnswer(told, words, run_links(opened.record.id))


def _shortened(verdict: Verdict, per_prompt: bool) -> Verdict:
    """Without the single prompts, which may be hundreds, unless they are asked for."""
    if per_prompt:
        return verdict
    outcomes = tuple(each.model_copy(update={"prompts": ()}) for each in verdict.outcomes)
    return verdict.model_copy(update={"outcomes": outcomes})


def _verdict_words(run: Run, *, per_prompt: bool) -> str:
    def write(screen: Screen) -> None:
        print_verdict(screen, run.verdict, run.facts, per_prompt=per_prompt)

    return printed(write)


class CompareArguments(ToolArguments):
    """Two runs."""

    a: str = Field(description=f"The earlier one. {_RUN} Or a baseline file inside.")
    b: str = Field(description="The later one.")


def compare(given: CompareArguments, at: Workplace, progress: Progress) -> ToolAnswer:
    """Say what came out otherwise in run B than in run A, and what was changed between them."""
    with progress.task("reading the runs"):
        old, new = (_compared(side, at) for side in (given.a, given.b))
    found = compared(old, new, tolerances_of(old.tolerances, None, None))
    return ToolAnswer(Comparison.of(found), printed(lambda screen: print_comparison(screen, found)))


def _compared(side: str, at: Workplace) -> Essentials:
    path, reports = at.folders.inside(side), at.measuring.reports
    if path.suffix != ".json" or not path.is_file():
        at.folders.whole(resolve(side, reports))
    return compared_run(side, reports)


JUDGING = (
    McpTool("validate", FileArguments, Validation, validate, uses_model=False),
    McpTool("plan", FileArguments, Plans, plan, uses_model=False),
    McpTool("run", RunArguments, Verdicts, run, is_read_only=False),
    McpTool("show", ShowArguments, ShownRun, show, uses_model=False),
    McpTool("compare", CompareArguments, Comparison, compare, uses_model=False),
)
