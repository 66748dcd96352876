"""Ask a model for its next token: the prompts of a file, unclamped."""

from __future__ import annotations

import torch

from tracer.api.session.answers import Answer, Answers
from tracer.engine.clean import reading
from tracer.engine.model.model import Model
from tracer.engine.progress import Progress
from tracer.engine.whole_prompts import last_logits
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.tokens import TokenizedPrompt, tokenize


def answers_of(model: Model, file: HypothesisFile, progress: Progress) -> Answers:
    """What the model answers to the prompts of a file that was read, in their order.

    Raises:
        HypothesisError: A prompt that is too long, an answer that is not one token.
        EngineError: The logits are not finite.
    """
    prompts = tokenize(file, model.tokenizer, model.context)
    asked = last_logits(model, list(prompts.values()), progress)
    found = {prompt.name: _answer(model, prompt, logits) for prompt, logits in asked}
    return Answers([found[name] for name in prompts])


def _answer(model: Model, prompt: TokenizedPrompt, logits: torch.Tensor) -> Answer:
    found = reading(logits, prompt.asked, model.tokenizer)
    declared_ones = (text for text, n in prompt.asked.items() if n == prompt.answer_id)
    answer = next(declared_ones, None)
    tokens, ids, spans = prompt.tokens, prompt.ids, prompt.spans
    return Answer(prompt.name, prompt.text, tokens, ids, spans, answer, found)
