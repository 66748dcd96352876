"""`tracer ask`: what a model answers to prompts, and how they are cut into tokens.

`--json` writes `tracer.cli.documents.answers`; `tracer schema ask` prints its schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import tracer
from tracer.cli import options
from tracer.cli.documents.answers import AnswersToPrompts, PromptAnswer
from tracer.cli.features.cards import read_lines
from tracer.cli.output import (
    STDOUT,
    percent,
    require_writable_file,
    screen_beside,
    stderr,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.engine.model.sources import named_model
from tracer.errors import EXIT_OK, HypothesisError, UsageError
from tracer.evidence.wording import counted
from tracer.hypothesis.given import declared, prompt_table, prompts_of
from tracer.hypothesis.load import HypothesisFile, Replacements, check
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.table import read_table
from tracer.hypothesis.yaml_text import read_text
from tracer.report.screen import Screen

if TYPE_CHECKING:
    from tracer.api.session.answers import Answer, Answers

_MOST_SHOWN = 10
"""Tokens of an answer that are kept."""


def ask(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]...", help="Texts.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Also each line of a text file.")
    ] = None,
    hypothesis: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The prompts of a hypothesis file, with its model."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="A text with {variables}, for each row of --table."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Values of the variables: .csv or .tsv with names in the first line, .jsonl, or "
            ".yaml by prompt. `answer` is the token that is expected, `name` names the prompt.",
        ),
    ] = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=_MOST_SHOWN, help="Most probable tokens shown.")
    ] = 5,
    json_: Annotated[Path | None, options.json_file("The answers")] = None,
) -> int:
    """Ask a model for its next token, and see how prompts are cut into tokens.

    tracer ask "Fact: the capital of the state containing Dallas is"

    tracer ask --hypothesis hypotheses/two_hop.yaml

    tracer ask --template "The opposite of {word} is" --table words.csv
    """
    replaced = Replacements(model=model, device=device, dtype=dtype)
    asked = asked_prompts(prompts or (), file, hypothesis, template, table, replaced)
    require_writable_file(json_, "--json")
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            session = tracer.Session
        spec = asked.hypothesis.model_spec
        opened = session(spec.name, device=spec.device, dtype=spec.dtype, progress=progress)
        answers = opened.answers(asked)
    screen = screen_beside(json_)
    for answer in answers:
        print_answer(screen, answer, top)
    _print_right(screen, answers)
    if json_ is not None:
        found = tuple(PromptAnswer.of(answer) for answer in answers)
        write_document(json_, AnswersToPrompts(model=spec.name, prompts=found).written())
    return EXIT_OK


def asked_prompts(
    texts: Sequence[str],
    file: Path | None,
    hypothesis: str | None,
    template: str | None,
    table: str | None,
    replaced: Replacements,
) -> HypothesisFile:
    """The prompts, checked, with the model that is asked.

    Raises:
        UsageError: None are given, or more than one kind.
        HypothesisError: Mistakes in them.
    """
    if (template is None) != (table is None):
        raise UsageError("--template and --table go together: a text with {variables}, and rows.")
    kinds = {"texts": texts, "--file": file, "--hypothesis": hypothesis, "--table": table}
    given = [kind for kind, value in kinds.items() if value]
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise UsageError(
            f"prompts come as texts, by --file, by --hypothesis, or by --template and --table; "
            f"found {found}."
        )
    if hypothesis is not None:
        return _of_file(hypothesis, replaced.overrides())
    spec = named_model(replaced.model, replaced.device, replaced.dtype)
    if table is not None:
        return _from_table(spec, template, table)
    if file is not None:
        lines = {f"line_{line.number}": line.text for line in read_lines(file)}
        return declared(spec, NEURONS, prompt_table(lines, None))
    return declared(spec, NEURONS, prompt_table(texts, None))


def _of_file(path: str, overrides: tuple[str, ...]) -> HypothesisFile:
    """The file, or where it is not finished its prompts alone."""
    text = read_text(path)
    try:
        return check(path, text, overrides)
    except HypothesisError as error:
        found = prompts_of(path, text, overrides)
        told = counted(len(error.mistakes), "mistake")
        stderr().say(f"{path}: {told} outside of its prompts; `tracer validate` tells them.")
        return found


def _from_table(spec: ModelSpec, template: str | None, path: str) -> HypothesisFile:
    found = read_table(path)
    return declared(spec, NEURONS, prompt_table(found.prompts, template), None, path, found.marks)


def print_answer(screen: Screen, answer: Answer, top: int) -> None:
    """The most probable tokens, the declared answer, tokens and spans."""
    screen.say(answer.prompt, "bold")
    screen.paragraph(answer.text, "italic")
    best = (f"{each.token!r} {percent(each.probability)}" for each in answer.top[:top])
    screen.paragraph(f"next    {', '.join(best)}")
    if answer.judged is not None:
        screen.paragraph(f"answer  {answer.judged}")
    screen.paragraph(f"tokens  {'  '.join(f'{n}:{t!r}' for n, t in enumerate(answer.tokens))}")
    spans = ", ".join(f"{name} {_range(*span)}" for name, span in answer.spans.items())
    screen.paragraph(f"spans   {spans}")
    screen.say()


def _range(start: int, stop: int) -> str:
    return f"{start}" if stop - start == 1 else f"{start} to {stop - 1}"


def _print_right(screen: Screen, answers: Answers) -> None:
    """On how many prompts the model gives what was declared; nothing where one or none was."""
    if answers.summary is not None and sum(each.answer is not None for each in answers) > 1:
        screen.paragraph(answers.summary, indent=0)
