"""Clamp one prompt: what a caller names becomes supernodes, rows and one batched pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from tracer.api.session.clamped import Clamped
from tracer.api.session.supernode import Supernode
from tracer.engine.batches import Row, batch_limit
from tracer.engine.clamps import assign, resolve_clamps
from tracer.engine.clean import reading
from tracer.engine.features.places import joined
from tracer.engine.forward import run_rows
from tracer.engine.members import from_ids
from tracer.engine.progress import Silent
from tracer.engine.resolve import open_context
from tracer.engine.session import Opened
from tracer.errors import HypothesisError, UsageError, show
from tracer.hypothesis.clamps import InterventionSpec, clamp_problems
from tracer.hypothesis.given import Prompt, declared, merged, prompt_of
from tracer.hypothesis.load import FROM_PYTHON, HypothesisFile, place_mistake
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.hypothesis.partial import parts_of, validated
from tracer.hypothesis.schema_messages import problems_of
from tracer.hypothesis.spec import ModelSpec, SupernodeSpec
from tracer.hypothesis.tokens import tokenize
from tracer.record.files import free_name
from tracer.record.record import SupernodeRecord

KeyedClamps = Mapping[Supernode | str, int | float | Mapping[str, Any]]
"""How much, by supernode or feature id."""
_NAME = "clamp"


class _Named(NamedTuple):
    """Everything that is clamped or read, by the name it has in the hypothesis."""

    specs: dict[str, dict[str, Any]]
    lock: dict[str, SupernodeRecord]
    shown: dict[str, str]
    """What the caller calls it, by that name."""


def clamp_prompt(
    opened: Opened,
    model: ModelSpec,
    features: str,
    prompt: Prompt,
    clamp: KeyedClamps,
    freeze: Literal["none", "attention", "all"],
    read: tuple[Supernode | str, ...],
    template: str | None,
) -> Clamped:
    """See `Session.clamp`."""
    if not clamp:
        raise UsageError("nothing is clamped: name a supernode or a feature.")
    keys = tuple(dict.fromkeys((*clamp, *read)))
    found = [key for key in keys if isinstance(key, Supernode)]
    named = _named(keys)
    table = merged(each.prompts for each in found)
    own = free_name("clamped", table)
    table[own] = prompt_of(prompt, template or _template(found))
    file = declared(model, features, table, named.specs)
    amounts = dict(zip(named.specs, clamp.values(), strict=False))
    spec = _intervention(file, own, amounts, freeze)
    hypothesis = file.hypothesis.model_copy(update={"interventions": {_NAME: spec}})
    file = HypothesisFile(FROM_PYTHON, "", hypothesis, (), {})
    prompts = tokenize(file, opened.model.tokenizer, opened.model.context)
    context = open_context(file, opened.model, opened.basis, prompts, named.lock, Silent())
    clean = context.clean[own]
    values = assign(resolve_clamps(spec, context.supernodes, context.clean, own), clean).values
    if not values:
        raise UsageError("no clamped feature has a place on this prompt.")
    places = {named.shown[name]: at for name, at in context.places(own).items()}
    row = Row(values, freeze, joined(places.values()))
    limit = batch_limit(opened.model, clean)
    [measured] = run_rows(opened.model, context.basis, clean, [row], limit)
    after = measured.activations[0].split([len(each) for each in places.values()])
    logits, tokenizer = measured.logits[0], opened.model.tokenizer
    return Clamped(
        text=clean.prompt.text,
        tokens=clean.prompt.tokens,
        logits=logits,
        unclamped=clean.logits,
        activations=dict(zip(places, after, strict=True)),
        before={name: clean.at(at).to(clean.logits.dtype) for name, at in places.items()},
        reading=reading(logits, clean.prompt.asked, tokenizer),
        baseline=reading(clean.logits, clean.prompt.asked, tokenizer),
    )


def _named(keys: Iterable[Supernode | str]) -> _Named:
    """A key's name is its own; a feature id, which is no name, gets one.

    Raises:
        UsageError: Two supernodes have one name, or a text is no feature id.
    """
    named = _Named({}, {}, {})
    for key in keys:
        if isinstance(key, Supernode):
            name, shown, record = key.record.name, key.record.name, key.record
            spec: dict[str, Any] = {"select": dict(key.rule)}
        else:
            if find_given(key) is None:
                raise UsageError(
                    f"{show(key)} is no feature id; 'layer_index' or 'layer_index_position' is "
                    "expected, or a supernode that Session.find gave."
                )
            name, shown, spec = f"feature_{key}", key, {"features": [key]}
            record = from_ids(name, SupernodeSpec(features=(key,)), (key,))
        if name in named.specs:
            raise UsageError(f"two supernodes are named {name!r}; find one by another name.")
        named.specs[name], named.lock[name], named.shown[name] = spec, record, shown
    return named


def _template(found: Iterable[Supernode]) -> str | None:
    """The template of the supernodes, where they have one between them."""
    templates = {each.template for each in found} - {None}
    return templates.pop() if len(templates) == 1 else None


def _intervention(
    file: HypothesisFile, prompt: str, amounts: Mapping[str, Any], freeze: str
) -> InterventionSpec:
    """The clamps, checked as those of a file.

    Raises:
        HypothesisError: Every mistake in them.
    """
    plain = {k: dict(v) if isinstance(v, Mapping) else v for k, v in amounts.items()}
    data = {"prompts": [prompt], "clamp": plain, "freeze": freeze}
    try:
        spec = validated(InterventionSpec, data)
    except ValidationError as error:
        problems = problems_of(error, data, InterventionSpec)
    else:
        parts = parts_of(file.hypothesis)
        problems = [p for name in spec.clamp for p in clamp_problems(parts, (), spec, name)]
        if not problems:
            return spec
    raise HypothesisError(FROM_PYTHON, [place_mistake(each, {}, ()) for each in problems])
