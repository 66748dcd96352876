"""The part of a record about circuits: the metric with one and without it."""

from __future__ import annotations

from pydantic import Field

from tracer.recorded import Recorded


class CircuitScores(Recorded):
    """The metric on one prompt, raw."""

    whole: float = Field(description="F(M): the model as it is.")
    empty: float = Field(description="F(∅): everything in scope at its reference mean.")
    circuit: float = Field(description="F(C): that, but the circuit's features kept.")
    rest: float = Field(description="F(M∖C): only the circuit's features at their means.")


class CircuitTrial(Recorded):
    """One circuit on one prompt.

    Its other scores are in the tensors `circuit/<circuit>/<prompt>/…`: `random` and `random_rest`
    [control] (F(C_r) and F(M∖C_r)), `without` [group] (F(C∖e)), `filler` [control] (F(C + e_r)) and
    `curve` [k] (F(C_k)).
    """

    prompt: str
    n_features: int = Field(description="Members that have a place in the scope here.")
    positions: tuple[int, int] = Field(description="Tokens that are ablated, end excluded.")
    scores: CircuitScores | None
    problem: str | None = Field(default=None, description="Why it has no scores.")


class CircuitRecord(Recorded):
    """A circuit: what it is, and its trials by prompt."""

    n_members: int
    n_outside: int = Field(description="Members that lie outside the scope on every prompt.")
    groups: tuple[str, ...] = Field(description="What is left out of it, one or several at a time.")
    n_random: int = Field(description="Random circuits.")
    n_fillers: int
    n_items: int = Field(description="Features that the curve ranks; 0 without a curve.")
    sizes: tuple[int, ...] = Field(description="Of the circuits of the curve.")
    ranked_on: tuple[str, ...]
    notes: tuple[str, ...] = ()
    trials: dict[str, CircuitTrial] = {}
