"""Ask a model for its next token: the prompts of a file, unclamped."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracer.api.session.answers import Answer, Answers
from tracer.engine.clean import reading, require_finite
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.whole_prompts import run_together
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize


def answers_of(model: Model, file: HypothesisFile, progress: Progress) -> Answers:
    """What the model answers to the prompts of a file that was read, in their order.

    Raises:
        HypothesisError: A prompt that is too long, an answer that is not one token.
        EngineError: The logits are not finite.
    """
    prompts = tokenize(file, model.tokenizer, model.context)
    names, logits = list(prompts), dict[str, torch.Tensor]()

    def run(numbers: Sequence[int]) -> list[torch.Tensor]:
        ids = torch.tensor([prompts[names[n]].ids for n in numbers])
        return list(model.clean(ids, []).logits)

    with progress.task("running the prompts unclamped", len(names)) as advance:
        for batch, found in run_together([prompts[name].ids for name in names], run):
            logits.update(zip([names[n] for n in batch], found, strict=True))
            advance(len(batch))
    return Answers([_answer(model, prompts[name], logits[name]) for name in names])


def _answer(model: Model, prompt: TokenizedPrompt, logits: torch.Tensor) -> Answer:
    require_finite(logits, prompt.name, "before any clamp")
    found = reading(logits, prompt.asked, model.tokenizer)
    declared_ones = (text for text, n in prompt.asked.items() if n == prompt.answer_id)
    answer = next(declared_ones, None)
    tokens, ids, spans = prompt.tokens, prompt.ids, prompt.spans
    return Answer(prompt.name, prompt.text, tokens, ids, spans, answer, found)
