"""A proposed hypothesis as the text of its file, whose comments say how each choice was made."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tracer.evidence.proposed import OF_EFFECT, Thresholds, random_sets, thresholds
from tracer.evidence.wording import counted, show_token
from tracer.hypothesis.concepts import LEAST_DISCOVERY, MOST_DISCOVERY, Concepts
from tracer.hypothesis.load import as_declared
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.yaml_text import to_flow_yaml, to_yaml
from tracer.record.proposal import Discovery, FeatureGroup, ProposedPrompt, TriedSets
from tracer.report.characters import QUOTED_TOKEN
from tracer.report.text import clean, percent, signed

DOSES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST_GROUPS_WRITTEN = 12
_WIDTH = 100
_HELD = "\u00a0"
"""Stands for the spaces of a token, at which no line is broken."""


def proposed_text(
    name: str, asked: Concepts, found: Discovery, model: ModelSpec, features: str, seed: int
) -> str:
    """The file: claim, prompts, supernodes by rule, swaps, necessity and one swap with doses."""
    wanted = thresholds(found)
    parts = [
        *_head(name, found, asked, model, features, seed),
        *_prompts(asked, found, seed),
        *_supernodes(found),
        *_swaps(found, wanted),
        *_necessity(found, wanted),
        *_intervention(found, wanted),
        f"\n{_section({'controls': {'random': random_sets(wanted)}})}",
    ]
    return "".join(parts)


def _comment(*sentences: str) -> str:
    """Lines of a comment; whatever a token or a name holds, it stays in it."""
    text = " ".join(" ".join(str(clean(each)).split()) for each in sentences)
    held = QUOTED_TOKEN.sub(lambda found: found[0].replace(" ", _HELD), text)
    lines = textwrap.wrap(held, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n".replace(_HELD, " ") for line in lines)


def _section(data: Mapping[str, Any]) -> str:
    """YAML with every list on a line of its own."""
    lines: list[str] = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += [f"{key}:\n", textwrap.indent(_section(cast("dict[str, Any]", value)), "  ")]
        elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
            items = cast("list[dict[str, Any]]", value)
            lines += [f"{key}:\n", *(f"  - {to_flow_yaml(each)}\n" for each in items)]
        else:
            lines.append(f"{to_flow_yaml({key: value})[1:-1]}\n")
    return "".join(lines)


def _head(
    name: str, found: Discovery, asked: Concepts, model: ModelSpec, features: str, seed: int
) -> Iterator[str]:
    at = "the prompt's last token" if found.chosen.at == "last" else f"the {found.chosen.at}"
    labels = ", ".join(found.labels.values())
    claim = (
        f"Features at {at} carry the {asked.by}, one of {labels}: those of one put in place of "
        "another's bring its answer, on prompts that they were not found on."
    )
    spec = as_declared(model)
    yield to_yaml({"hypothesis": name, "claim": claim, "tags": ["proposed"]})
    yield _comment(
        "Proposed by `tracer propose`. Prompts, sets and thresholds come from what the model does "
        "on discovery prompts; of held-out prompts, only what it answers unclamped was looked at."
    )
    chosen = {"model": spec if len(spec) > 1 else model.name, "features": features, "seed": seed}
    yield to_yaml(chosen | ({} if asked.template is None else {"template": asked.template}))


def _prompts(asked: Concepts, found: Discovery, seed: int) -> Iterator[str]:
    yield "\nprompts:\n"
    yield _indented(
        f"The split is drawn with seed {seed}, concept by concept, of the prompts that the model "
        f"answers: {LEAST_DISCOVERY} to {MOST_DISCOVERY} are for discovery."
    )
    kept = [p for p in found.prompts if p.fate != "dropped"]
    for fate in ("discovery", "held out"):
        yield _indented({"discovery": "Discovery.", "held out": "Held out: they only judge."}[fate])
        for prompt in (each for each in kept if each.fate == fate):
            declared = {**asked.prompts[prompt.name]}
            declared |= {"held_out": True} if fate == "held out" else {}
            yield f"  {prompt.name}: {to_flow_yaml(declared)}\n"
    dropped = [p for p in found.prompts if p.fate == "dropped"]
    if dropped:
        yield _indented(f"Left out, {len(dropped)} of {len(found.prompts)}: {_dropped(dropped)}.")


def _dropped(prompts: Sequence[ProposedPrompt]) -> str:
    """Each with why; those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for prompt in prompts:
        said = f" ({show_token(prompt.top)})" if prompt.top != prompt.answer else ""
        by_reason.setdefault(prompt.why or "", []).append(f"{prompt.name}{said}")
    return "; ".join(f"{why}: {', '.join(names)}" for why, names in by_reason.items())


def _indented(text: str) -> str:
    return textwrap.indent(_comment(text), "  ")


def _supernodes(found: Discovery) -> Iterator[str]:
    yield "\n"
    yield _comment(*_groups_told(found))
    for group in found.groups[:MOST_GROUPS_WRITTEN]:
        yield _comment(f"- {group_words(group, found.labels)}")
    yield _comment(*_sets_told(found))
    nodes: dict[str, Any] = {}
    chosen = found.chosen
    for concept, label in found.labels.items():
        nodes[concept] = {
            "label": label,
            "select": {
                "by": "activation",
                "on": list(found.of(concept, "discovery")),
                "against": list(found.others(concept)),
                "at": chosen.at,
                "layers": list(chosen.layers),
                "top": chosen.top,
            },
        }
    yield "supernodes:\n"
    for concept, node in nodes.items():
        promotes = ", ".join(map(show_token, found.promotes[concept]))
        yield _indented(f"At {chosen.at}, on {found.labels[concept]}; it promotes {promotes}.")
        yield textwrap.indent(_section({concept: node}), "  ")


def _groups_told(found: Discovery) -> Iterator[str]:
    at = ", ".join(f"{percent(share)} at {span}" for span, share in found.influence_at.items())
    yield (
        f"Graphs of the {found.n_discovery} discovery prompts: of "
        f"the influence of their features, {at}. Features at one place that act alike on all "
        "prompts (activation, and what they send out) form a group; the most influential:"
    )


def group_words(group: FeatureGroup, labels: Mapping[str, str]) -> str:
    """One group in a line: where, how many, on which concept's prompts, what it promotes."""
    first, last = group.layers
    whose = "no concept's"
    if group.concept is not None:
        whose = f"{labels[group.concept]}'s (R² {group.told_apart:.2f})"
    promoted = ", ".join(map(show_token, group.promotes))
    return (
        f"{group.at}: {counted(len(group.features), 'feature')} of layers {first} to {last}, "
        f"{percent(group.influence)} of the influence, {whose}, promotes {promoted}"
    )


def _sets_told(found: Discovery) -> Iterator[str]:
    chosen = found.chosen
    tried = ", ".join(f"{t.at} {t.top}: {swaps_words(t)}" for t in found.tried)
    yield (
        "Sets are made by one rule that never looks at the output: the features whose write "
        "differs most between the concept's discovery prompts and those of all others. Layers are "
        "those of the groups above. Swaps on discovery prompts succeeded so often, by place and "
        f"features of a set: {tried}. The smallest set within a twentieth of the best was taken."
    )
    if chosen.overlap:
        shares = ", ".join(
            f"{found.labels[concept]} {percent(share)}" for concept, share in chosen.overlap.items()
        )
        yield f"The rule finds of the features of the concepts' own groups: {shares}."


def swaps_words(tried: TriedSets) -> str:
    """'57 of 80'."""
    return f"{tried.n_right} of {tried.n_swaps}"


def _swaps(found: Discovery, wanted: Thresholds) -> Iterator[str]:
    chosen = found.chosen
    yield "\n"
    yield _comment(
        f"On discovery prompts {chosen.n_right} of {chosen.n_swaps} swaps succeeded; asked is the "
        "95 % Wilson lower bound of that rate, rounded down to a twentieth, and at least a half."
    )
    concepts = {name: list(found.of(name, "held out")) for name in found.answers}
    study = {"concepts": concepts, "off": None, "mostly": wanted.mostly}
    yield _section({"swaps": {"every_concept": study}})


def _necessity(found: Discovery, wanted: Thresholds) -> Iterator[str]:
    told = ", ".join(f"{found.labels[each.concept]} {signed(-each.least)}" for each in wanted.lost)
    yield "\n"
    yield _comment(
        "Without its set, set to 0 or to the mean of the other concepts' prompts, a concept's "
        "answer changes on discovery prompts against the next concept's by this many logits at "
        f"least, whatever the prompt and the kind: {told}.",
        "Where half of a loss is half a logit or more, that is asked; of the others no necessity "
        "is claimed.",
    )
    studies: dict[str, Any] = {}
    for each in wanted.lost:
        if each.falls_by is None:
            continue
        other = found.after(each.concept)
        pair = [found.answers[each.concept], found.answers[other]]
        studies[f"{each.concept}_needed"] = {
            "prompts": list(found.of(each.concept, "held out")),
            "ablate": [each.concept],
            "kinds": ["zero", "mean"],
            "reference": list(found.others(each.concept)),
            "expect": [
                {"logit_diff": pair, "falls_by": each.falls_by, "mostly": wanted.mostly},
                {"logit_diff": pair, "undercuts_controls_across": 0.05},
            ],
        }
    if studies:
        yield _section({"necessity": studies})


def _intervention(found: Discovery, wanted: Thresholds) -> Iterator[str]:
    own, donor = found.answers[wanted.recipient], found.answers[wanted.donor]
    yield "\n"
    yield _comment(
        "One swap is held against matched random sets and in doses: of the concept with the most "
        "held-out prompts, by the next one. Its median effect on discovery prompts is "
        f"{signed(wanted.median)} logits; {percent(OF_EFFECT)} of it is asked."
    )
    pair = [donor, own]
    spec = {
        "prompts": list(found.of(wanted.recipient, "held out")),
        "clamp": {wanted.donor: 1},
        "expect": [
            {"top": donor, "mostly": wanted.mostly},
            {"logit_diff": pair, "rises_by": wanted.rises_by, "mostly": wanted.mostly},
            {"logit_diff": pair, "beats_controls_across": 0.05},
        ],
        "doses": {
            "of": wanted.donor,
            "factors": list(DOSES),
            "expect": [{"rises": donor, "mostly": wanted.mostly}],
        },
    }
    yield _section({"interventions": {f"{wanted.recipient}_to_{wanted.donor}": spec}})
