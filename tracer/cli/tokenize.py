"""A file's prompts as tokens, where its model's tokenizer is here: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tracer import engine
from tracer.engine.last_opened import LastOpened
from tracer.engine.model.hf_folder import read_config
from tracer.engine.model.sources import locate
from tracer.engine.model_size import ModelSize
from tracer.engine.progress import Progress
from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.implied import measurable_variations
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize

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
    """Why the file's tokenizer is not on this machine; None where it is."""
    spec = file.hypothesis.model_spec
    location = locate(spec)
    if location.state == "ready":
        return None
    return f"{spec.name}: {location.reason or _WHY_NOT[location.state]}"


def tokenize_here(
    file: HypothesisFile, last: LastOpened[Any], progress: Progress
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
    opened, config = last.get(spec, lambda: _open(spec, progress))
    context = opened.context or NO_LIMIT
    return Tokenized(
        tokenize(file, opened.tokenizer, context),
        _paraphrased(file, opened.tokenizer, context),
        ModelSize.from_config(config),
    )


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
