"""What a claim clamps and what it says must happen, as a file has it."""

from __future__ import annotations

from typing import Any

from tracer.cli.selftest.claims import DOSES, QUIET, Claim
from tracer.cli.selftest.scenes import Scene
from tracer.cli.selftest.sets import unused_side

ALPHA, N_CONTROLS = 0.05, 99
TOO_MUCH = 1.5
"""Times the largest rise of the planted swap."""
STEERED = 3
"""How strongly a set is put in that is to say the answer itself."""
_LOW_RANK = 50
NOUN = "noun"
"""The span of the word that names the relation."""
Data = dict[str, Any]


def clamp(claim: Claim) -> Data:
    """The clamps of its supernodes."""
    if claim.kind == "nothing":
        return {name: {"times": 1, "from": ["here"]} for name in ("one", "other")}
    place = {"at": NOUN} if claim.family.elsewhere else {}
    times = STEERED if claim.family.steered else 1
    clamps: Data = {"one": {"times": 0, **place}, "other": {"times": times, **place}}
    return {name: each for name, each in clamps.items() if name != unused_side(claim)}


def controls(claim: Claim, donors: list[str]) -> Data:
    """What it is compared with.

    An ablation's random sets stay in their natural range: scaled to the real write, neurons that
    are all but silent would be driven far past where they fire.
    """
    found: Data = {"random": N_CONTROLS}
    if unused_side(claim) == "other":
        found["matched"] = "range"
    return found | ({"donors": donors} if donors else {})


def stated(claim: Claim, scene: Scene) -> Data:
    """What must happen, each time with its comparisons."""
    family = claim.family
    expected = scene.answer(scene.rest[0] if family.wrong_answer else scene.other)
    difference = {"logit_diff": [expected, "{answer}"]}
    size = TOO_MUCH * scene.largest_rise if family.too_much else scene.gap
    loses = _compared({"probability": "{answer}"}, "undercuts", claim)
    gains = _compared(difference, "beats", claim)
    match claim.kind:
        case "ablation":
            return {"expect": [{"top_is_not": "{answer}"}, *loses]}
        case "downstream":
            return {"expect": [{"supernode": "say", "fraction_below": QUIET}, *loses]}
        case "swap":
            return {"expect": [{"top": expected}, *gains]}
        case "size":
            return {"expect": [difference | {"rises_by": size}, *gains]}
        case "shift":
            return {"expect": [difference | {"rises_by": 0}, *gains]}
        case "dose":
            most = STEERED if family.steered else 1
            factors = [most * dose for dose in DOSES]
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
