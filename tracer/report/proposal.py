"""A proposed hypothesis as the text of its file, whose comments say how each choice was made."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from tracer.evidence.proposed import OF_EFFECT, ProposedThresholds, Rehearsal
from tracer.evidence.wording import counted, show_token
from tracer.hypothesis.concepts import LEAST_DISCOVERY, MOST_DISCOVERY
from tracer.hypothesis.yaml_text import to_flow_yaml, to_yaml
from tracer.record.proposal import Discovery, FeatureGroup, ProposedPrompt, TriedSets
from tracer.report.characters import QUOTED_TOKEN
from tracer.report.text import clean, percent, signed

MOST_GROUPS_WRITTEN = 12
_WIDTH = 100
_HELD = "\u00a0"
"""Stands for the spaces of a token, at which no line is broken."""


def proposed_text(
    declared: Mapping[str, Any], found: Discovery, wanted: ProposedThresholds, rehearsal: Rehearsal
) -> str:
    """The file.

    Args:
        declared: Its sections, as plain data.
        found: What they were made from.
        wanted: Their thresholds.
        rehearsal: What did not hold on discovery prompts, and is not claimed.
    """
    seed, has = declared["seed"], declared.get

    def section(name: str) -> str:
        return _section({name: declared[name]}) if has(name) is not None else ""

    named = {key: declared[key] for key in ("hypothesis", "claim", "tags")}
    of = {key: declared[key] for key in ("model", "features", "seed", "template") if has(key)}
    parts = [
        to_yaml(named),
        _comment(
            "Proposed by `tracer propose`. Prompts, sets and thresholds come from what the model "
            "does on discovery prompts; of held-out prompts, only what it answers unclamped was "
            "looked at."
        ),
        to_yaml({"seed": seed} | of),
        *_prompts(declared["prompts"], found, seed),
        "\n",
        *_supernodes(declared["supernodes"], found),
        "\n",
        _swaps_told(found),
        section("swaps"),
        "\n",
        _necessity_told(found, wanted),
        section("necessity"),
        "\n",
        _swap_told(wanted),
        section("interventions"),
        "\n",
        _rehearsal_told(rehearsal),
        section("controls"),
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


def claim_text(found: Discovery, by: str) -> str:
    """What is claimed, in a sentence; `by` is what tells the concepts apart."""
    at = "the prompt's last token" if found.chosen.at == "last" else f"the {found.chosen.at}"
    labels = ", ".join(found.labels.values())
    return (
        f"Features at {at} carry the {by}, one of {labels}: those of one put in place of "
        "another's bring its answer, on prompts that they were not found on."
    )


def _prompts(declared: Mapping[str, Any], found: Discovery, seed: int) -> Iterator[str]:
    yield "\nprompts:\n"
    yield _indented(
        f"The split is drawn with seed {seed}, concept by concept, of the prompts that the model "
        f"answers: {LEAST_DISCOVERY} to {MOST_DISCOVERY} are for discovery."
    )
    kept = [p for p in found.prompts if p.fate != "dropped"]
    for fate in ("discovery", "held out"):
        yield _indented({"discovery": "Discovery.", "held out": "Held out: they only judge."}[fate])
        for prompt in (each for each in kept if each.fate == fate):
            yield f"  {prompt.name}: {to_flow_yaml(declared[prompt.name])}\n"
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


def _supernodes(declared: Mapping[str, Any], found: Discovery) -> Iterator[str]:
    yield _comment(*_groups_told(found))
    for group in found.groups[:MOST_GROUPS_WRITTEN]:
        yield _comment(f"- {group_words(group, found.labels)}")
    yield _comment(*_sets_told(found))
    yield "supernodes:\n"
    for concept, node in declared.items():
        promotes = ", ".join(map(show_token, found.promotes[concept]))
        yield _indented(f"{found.labels[concept]} at {found.chosen.at}; it promotes {promotes}.")
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


def _swaps_told(found: Discovery) -> str:
    return _comment(
        f"On discovery prompts {swaps_words(found.chosen)} swaps succeeded; asked is the 95 % "
        "Wilson lower bound of that rate, rounded down to a twentieth, and at least a half."
    )


def _necessity_told(found: Discovery, wanted: ProposedThresholds) -> str:
    told = ", ".join(f"{found.labels[each.concept]} {signed(-each.least)}" for each in wanted.lost)
    return _comment(
        "Without its set, set to 0 or to the mean of the other concepts' prompts, a concept's "
        "answer changes on discovery prompts against the next concept's by this many logits at "
        f"least, whatever the prompt and the kind: {told}.",
        "Where half of a loss is half a logit or more, that is asked; of the others no necessity "
        "is claimed.",
    )


def _swap_told(wanted: ProposedThresholds) -> str:
    return _comment(
        "One swap is held against matched random sets and in doses: of the concept with the most "
        "held-out prompts, by the next one. Its median effect on discovery prompts is "
        f"{signed(wanted.median)} logits; {percent(OF_EFFECT)} of it is asked."
    )


def _rehearsal_told(rehearsal: Rehearsal) -> str:
    if not rehearsal.told:
        return _comment("Judged on the discovery prompts, all of it held.")
    return _comment(
        "Judged on the discovery prompts, this did not hold, and is not claimed:",
        "; ".join(rehearsal.told) + ".",
    )
