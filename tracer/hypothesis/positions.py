"""Token positions that feature ids name, held against the tokens of the prompts they are used on.

An id that is listed in the file must have its token on each of these prompts. An address is copied
from a graph, perhaps of another prompt: what it says of tokens (`E_token_position`, the position of
its logits) tells whether both count alike. circuit-tracer puts a token in front of the prompts of
models that have none there, so its positions may be one more than those of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tracer.errors import Mistake, prompts_named
from tracer.hypothesis.clamps import donors
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.neuronpedia import NeuronpediaLink, features_of, named_logits, read_url
from tracer.hypothesis.neuronpedia_ids import embedding_id, parse_given
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import CircuitSpec

PromptIds = Mapping[str, Sequence[int]]
"""Token ids by prompt; a prompt that cannot be tokenized is not there."""


def position_mistakes(
    file: HypothesisFile, ids: PromptIds, n_layers: int | None = None
) -> Iterator[Mistake]:
    """Listed ids beyond a prompt's end, and addresses that count other tokens than the model.

    Args:
        file: checked.
        ids: the tokens of its prompts.
        n_layers: of the model; without it, nobody knows which ids of an address are logits.
    """
    for name, prompts in used_on(file.hypothesis).items():
        node = file.hypothesis.supernodes[name]
        known = {prompt: ids[prompt] for prompt in prompts if prompt in ids}
        for number, text in enumerate(node.features or ()):
            message = _beyond(text, known)
            if message is not None:
                yield file.mistake(("supernodes", name, "features", number), message)
        if node.neuronpedia is not None:
            link = read_url(node.neuronpedia.url)
            told = (_shifted(link, prompt, known[prompt], n_layers) for prompt in known)
            message = next(filter(None, told), None)
            if message is not None:
                yield file.mistake(("supernodes", name, "neuronpedia", "url"), message)


def position_notes(hypothesis: Hypothesis, ids: PromptIds, n_layers: int) -> Iterator[str]:
    """What is in doubt, or left out, where the addresses are used, a sentence each."""
    for name, prompts in used_on(hypothesis).items():
        node = hypothesis.supernodes[name]
        if node.neuronpedia is None:
            continue
        link, group = read_url(node.neuronpedia.url), node.neuronpedia.group
        known = {prompt: ids[prompt] for prompt in prompts if prompt in ids}
        for text in features_of(link, group):
            message = _beyond(text, known)
            if message is not None:
                yield f"supernode {group!r}: {message}: left out there."
        others = [prompt for prompt in known if shift_of(link, known[prompt], n_layers) is None]
        if others:
            yield (
                f"supernode {group!r}: its address was made on other tokens than those of "
                f"{prompts_named(others)}."
            )


def used_on(hypothesis: Hypothesis) -> dict[str, tuple[str, ...]]:
    """The prompts that each supernode's features are clamped or read on, each once."""
    found: dict[str, list[str]] = {name: [] for name in hypothesis.supernodes}
    for spec in all_interventions(hypothesis).values():
        for name, clamp in spec.clamp.items():
            found[name] += [*spec.prompts, *donors({name: clamp})]
        for name in (name for expected in spec.expect for name in expected.supernodes()):
            found[name] += spec.prompts
    for circuit in hypothesis.studies_of(CircuitSpec).values():
        for name in circuit.supernodes:
            found[name] += circuit.prompts
    if hypothesis.graph is not None:
        for name in (name for edge in hypothesis.graph.expect for name in edge.supernodes()):
            found[name] += hypothesis.graph.prompts
    for name, prompts in found.items():
        prompts += (hypothesis.supernodes[name].source or ()) if prompts else ()
    return {name: tuple(dict.fromkeys(prompts)) for name, prompts in found.items()}


def _beyond(text: str, ids: PromptIds) -> str | None:
    """What is wrong with an id's position; None where every prompt has it."""
    pos = parse_given(text).pos
    short = [prompt for prompt in ids if pos is not None and pos >= len(ids[prompt])]
    if not short:
        return None
    least = min(len(ids[prompt]) for prompt in short)
    verb = "has" if len(short) == 1 else "have as few as"
    return (
        f"{text!r} is at position {pos}, but {prompts_named(short)} {verb} {least} "
        f"token{'s' if least > 1 else ''}, counted from 0"
    )


def shift_of(link: NeuronpediaLink, ids: Sequence[int], n_layers: int | None) -> int | None:
    """How many tokens more than the model an address counts in front of a prompt.

    0 where both agree, or where the address says nothing; None where it is of other tokens.
    """
    if link.tokens:
        near = sorted(range(-len(ids), len(ids) + 1), key=abs)
        return next((shift for shift in near if _fits(link, ids, shift)), None)
    last = {logit.pos for logit in named_logits(link, n_layers)} if n_layers else set[int]()
    if len(last) != 1:
        return 0
    shift = last.pop() - (len(ids) - 1)
    return shift if shift in (0, 1) else None


def _fits(link: NeuronpediaLink, ids: Sequence[int], shift: int) -> bool:
    places = [(token, pos - shift) for token, pos in link.tokens]
    return all(0 <= pos < len(ids) and ids[pos] == token for token, pos in places)


def _shifted(
    link: NeuronpediaLink, prompt: str, ids: Sequence[int], n_layers: int | None
) -> str | None:
    shift = shift_of(link, ids, n_layers)
    if not shift:
        return None
    if link.tokens:
        token, pos = link.tokens[0]
        shown = f"{embedding_id(token, pos)!r} stands at position {pos - shift}"
    else:
        last = len(ids) - 1
        shown = f"its logits are at position {last + shift}, the last token at {last}"
    return (
        f"the address counts other tokens than the model: on the prompt {prompt!r} {shown}, "
        f"so every position is off by {shift:+d}. Take the address of a graph that begins with the "
        "same tokens, or list the ids under `features`, positions counted from 0"
    )
