"""`tracer validate`: every mistake in hypothesis files, without running anything.

Tokens, layers, heads and neurons are checked where the model's tokenizer and configuration are on
this machine; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from tracer.cli import options
from tracer.cli.json_output import FileResult, refused, validation
from tracer.cli.output import (
    STDOUT,
    nothing_selected,
    require_writable_file,
    screen_beside,
    stderr,
    worst,
    write_document,
)
from tracer.cli.progress import progress_on
from tracer.cli.select import hypothesis_paths, read_all
from tracer.engine.cost import ModelSize
from tracer.engine.last_opened import LastOpened
from tracer.engine.model.sources import locate
from tracer.engine.model.tokenizer import TokenizerOnly, open_tokenizer
from tracer.engine.progress import Progress
from tracer.errors import EXIT_OK, HypothesisError, Mistake, TracerError
from tracer.hypothesis.implied import measurable_variations
from tracer.hypothesis.load import HypothesisFile, Replacements
from tracer.hypothesis.model_limits import ModelLimits, limit_mistakes
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import TokenizedPrompt, token_notes, tokenize
from tracer.report.screen import Screen

NO_LIMIT = 2**31
"""Context length of a model whose config does not say."""
_WHY_NOT = {
    "to convert": "its data package is installed but not converted yet, which the first run does",
    "to download": "it is not in the hub's cache",
}


def validate(
    files: options.Files = None,
    set_: options.Sets = None,
    model: options.Model = None,
    json_: Annotated[Path | None, options.json_file("Mistakes")] = None,
) -> int:
    """Find every mistake in hypothesis files, without running anything.

    Tokens, layers, heads and neurons are checked where the model's tokenizer is already here;
    nothing is downloaded.

    tracer validate

    tracer validate hypotheses/two_hop.yaml --model smollm2-135m
    """
    paths = hypothesis_paths(files)
    if not paths:
        return nothing_selected("there is no hypothesis file here.")
    replaced = Replacements(model=model, set=tuple(set_ or ()))
    require_writable_file(json_, "--json")
    screen = screen_beside(json_)
    with progress_on(stderr(), quiet=json_ == STDOUT) as progress:
        results = list(_told(screen, checked(paths, replaced, progress)))
    code = worst(result.code for result in results)
    if json_ is not None:
        write_document(json_, validation(results, code).written())
    return code


def checked(
    paths: Iterable[Path], replaced: Replacements, progress: Progress
) -> Iterator[FileResult]:
    """How each file ends; those that cannot be read come first."""
    found, last = read_all(paths, replaced.overrides()), LastOpened[TokenizerOnly]()
    yield from (refused(str(path), None, error) for path, error in found.broken)
    for file in found.files:
        name = file.hypothesis.hypothesis
        try:
            tokens = tokenize_here(file, last, progress)
        except TracerError as error:
            yield refused(file.path, name, error)
            continue
        if isinstance(tokens, str):
            notes = (f"tokens were not checked. {tokens}",)
        else:
            notes = tuple(token_notes(tokens.prompts.values()))
        yield FileResult(file.path, name, EXIT_OK, notes=notes)


def _told(screen: Screen, results: Iterable[FileResult]) -> Iterator[FileResult]:
    """The same, each told as it comes."""
    for result in results:
        if result.sentence is not None:
            stderr().say(result.sentence)
        else:
            screen.say(f"{result.file}: ok", "green")
        for note in result.notes:
            screen.say(f"{result.file}: {note}", "yellow")
        yield result


class Tokenized(NamedTuple):
    """A file's prompts as its model's tokenizer reads them, and the model's sizes."""

    prompts: Mapping[str, TokenizedPrompt]
    paraphrased: Mapping[str, Mapping[str, TokenizedPrompt]]
    """By the name of the variation that has another template."""
    model: ModelSize | None


def tokenize_here(
    file: HypothesisFile, last: LastOpened[TokenizerOnly], progress: Progress
) -> Tokenized | str:
    """Tokenize every prompt; where the tokenizer is not here, the reason as a sentence.

    Raises:
        HypothesisError: with every token and prompt that does not fit this model.
        ModelUnavailable: what is here cannot be read.
    """
    missing = why_not_here(file)
    if missing is not None:
        return missing
    spec = file.hypothesis.model_spec
    opened = last.get(spec, lambda: _open(spec, progress))
    context = opened.context or NO_LIMIT
    size = ModelSize.from_config(opened.config)
    found = tokenize(file, opened.tokenizer, context)
    if size is not None:
        _check_limits(file, size)
    return Tokenized(found, _paraphrased(file, opened.tokenizer, context), size)


def _check_limits(file: HypothesisFile, size: ModelSize) -> None:
    """Refuse layers, neurons and heads that the model does not have.

    Raises:
        HypothesisError: There is one.
    """
    n_layers, is_neurons = size.n_layers, file.hypothesis.features == NEURONS
    widths = [size.d_mlp] * n_layers if is_neurons else None
    limits = ModelLimits(n_layers, widths, dict.fromkeys(range(n_layers), size.n_heads))
    mistakes = list(limit_mistakes(file, limits))
    if mistakes:
        raise HypothesisError(file.path, mistakes)


def why_not_here(file: HypothesisFile) -> str | None:
    """Why the file's tokenizer is not on this machine; None where it is."""
    spec = file.hypothesis.model_spec
    location = locate(spec)
    if location.state == "ready":
        return None
    return f"{spec.name}: {location.reason or _WHY_NOT[location.state]}"


def _open(spec: ModelSpec, progress: Progress) -> TokenizerOnly:
    with progress.task(f"opening the tokenizer of {spec.name}"):
        return open_tokenizer(spec, progress)


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
