"""What a claim clamps, or finds in a graph, and what it says must happen, as a file has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracer.cli.selftest.claims import Claim
from tracer.cli.selftest.family import DOSES, LEAST_LOOK, QUIET
from tracer.cli.selftest.scenes import Scene
from tracer.cli.selftest.sets import unused_side

Data = dict[str, Any]
ALPHA, N_CONTROLS = 0.05, 99
TOO_MUCH = 1.5
"""Times the largest rise of the planted swap."""
STEERED = 3
"""How strongly a set is put in that is to say the answer itself."""
_LOW_RANK = 50
LOOK: Data = {"from": "last", "to": "city"}
MOST_OF_EDGE, MOST_OF_SCORE = 0.5, 0.25
"""Shares that are claimed; of a score, marks are half of what is seen of the city."""
BEATS = "beats_controls"
N_FEATURES = 256
"""Of each graph, beside what is named."""
NOUN = "noun"
"""The span of the word that names the relation."""


def tested(claim: Claim, scene: Scene, recipients: Sequence[str]) -> Data:
    """The section of a claim: its intervention, or its graphs, with what is expected."""
    if claim.kind in ("carried", "because"):
        graph = {"toward": "answer", "max_features": N_FEATURES, "check": 0}
        told = graph | {"prompts": list(recipients), "expect": [_of_graph(claim, scene)]}
        return {"graph": told}
    spec = {"prompts": list(recipients), **_set(claim), **_stated(claim, scene)}
    return {"interventions": {"test": spec}}


def _of_graph(claim: Claim, scene: Scene) -> Data:
    """A share of an edge, or of a head's score: large, and larger than with other sets."""
    heads, compared = scene.heads[claim.family.of_heads], {BEATS: ALPHA}
    if claim.kind == "carried":
        asked = {"edge": {"from": "one", "to": "output"}, "heads": list(heads)}
        return {"carried": asked | {"share_above": MOST_OF_EDGE} | compared}
    look = {"head": heads[0], **LOOK, "query": "one", "key": "other"}
    return {"because": look | {"share_above": MOST_OF_SCORE} | compared}


def _set(claim: Claim) -> Data:
    """What is clamped, or which look is knocked out."""
    if claim.kind == "knockout":
        to = NOUN if claim.family.elsewhere else "city"
        return {"attention": [{"heads": "one", **LOOK, "to": to, "set": 0}]}
    if claim.kind == "nothing":
        names = [name for name in ("one", "other") if name != unused_side(claim)]
        return {"clamp": {name: {"times": 1, "from": ["here"]} for name in names}}
    place = {"at": NOUN} if claim.family.elsewhere else {}
    times = STEERED if claim.family.steered else 1
    clamps: Data = {"one": {"times": 0, **place}, "other": {"times": times, **place}}
    return {"clamp": {k: each for k, each in clamps.items() if k != unused_side(claim)}}


def controls(claim: Claim, donors: list[str]) -> Data:
    """What it is compared with.

    An ablation's random sets stay in their natural range: scaled to the real write, neurons that
    are all but silent would be driven far past where they fire.
    """
    found: Data = {"random": N_CONTROLS}
    if unused_side(claim) == "other":
        found["matched"] = "range"
    return found | ({"donors": donors} if donors else {})


def _stated(claim: Claim, scene: Scene) -> Data:
    """What must happen, each time with its comparisons."""
    family = claim.family
    expected = scene.answer(scene.rest[0] if family.wrong_answer else scene.other)
    difference = {"logit_diff": [expected, "{answer}"]}
    by_heads = family.unit == "heads"
    most = scene.largest_rise_by_heads if by_heads else scene.largest_rise
    size = TOO_MUCH * most if family.too_much else scene.gap
    loses = _compared({"probability": "{answer}"}, "undercuts", claim)
    gains = _compared(difference, "beats", claim)
    match claim.kind:
        case "ablation" if family.alone:
            return {"expect": loses}
        case "ablation" | "knockout":
            return {"expect": [{"top_is_not": "{answer}"}, *loses]}
        case "look":
            asked = {"attends": {"head": scene.heads[family.of_heads][0], **LOOK}}
            compared = asked | {"undercuts_controls": ALPHA}
            return {"expect": [asked | {"falls_by": LEAST_LOOK}, compared]}
        case "downstream" | "carrier":
            return {"expect": [{"supernode": "say", "fraction_below": QUIET}, *loses]}
        case "swap":
            return {"expect": [{"top": expected}, *gains]}
        case "size":
            return {"expect": [difference | {"rises_by": size}, *gains]}
        case "shift":
            return {"expect": [difference | {"rises_by": 0}, *gains]}
        case "dose":
            factors = [(STEERED if family.steered else 1) * dose for dose in DOSES]
            doses = {"of": "other", "factors": factors, "expect": [{"rises": expected}]}
            return {"expect": gains, "doses": doses}
        case _:
            beside = loses if family.source == "values" else []
            return {"expect": [*beside, _vacuous(claim, expected)]}


def _compared(number: Data, verb: str, claim: Claim) -> list[Data]:
    """With matched random sets, and with the same rule on wrong donors where there are any.

    Each over all prompts together: what must be so on every prompt is said beside it.
    """
    found = [number | {f"{verb}_controls_across": ALPHA}]
    if claim.family.donors != "none":
        found.append(number | {f"{verb}_procedure": ALPHA})
    return found


def _vacuous(claim: Claim, expected: str) -> Data:
    """What is so unclamped."""
    match claim.kind:
        case "rank":
            return {"rank": "{answer}", "at_most": _LOW_RANK}
        case "probability":
            return {"probability": expected, "above": 0}
        case "fraction":
            return {"supernode": "say", "fraction_above": QUIET}
        case _:
            return {"top": "{answer}"}
