"""Steering settings of another tool, as JSON: what they may hold, and what they mean here.

circuit-tracer *sets* features: to values, `[layer, pos, feature, value]`, or a supernode to its
scaling factor × the activations on the prompt that the supernode came from. Neuronpedia sets a
feature to its activation *plus* strength × its maximum over a dataset, or to zero (`ablate`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tracer.errors import UsageError
from tracer.graph.json_file import read
from tracer.hypothesis.problem import listed

_MAX_FEATURES = 10_000
_N_TOLD = 3


def _layer(value: Any) -> Any:
    """Neuronpedia writes a layer with its dictionary: '20-gemmascope-transcoder-16k'."""
    found = re.match(r"(\d{1,4})(-|$)", value) if isinstance(value, str) else None
    return int(found[1]) if found else value


def _split(value: Any) -> Any:
    """A feature as a graph page names it: 'layer_feature_pos'."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}_\d{1,9}_\d{1,7}", value, re.ASCII):
        layer, feature, pos = map(int, value.split("_"))
        return [layer, pos, feature]
    return value


Layer = Annotated[int, Field(ge=0, lt=10_000), BeforeValidator(_layer)]
Index = Annotated[int, Field(ge=0, lt=10**9)]
Position = Annotated[int, Field(gt=-(10**7), lt=10**7)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = tuple[Layer, Position, Index, Finite]
"""[layer, pos, feature, value]."""
Place = Annotated[tuple[Layer, Position, Index], BeforeValidator(_split)]
"""[layer, pos, feature]."""


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def unknown(self) -> list[str]:
        """Keys that mean nothing here."""
        return list(self.model_extra or {})


class Scaled(_Read):
    """A supernode and how much of its own activation it is set to."""

    supernode: str = Field(validation_alias=AliasChoices("supernode", "name"))
    features: tuple[Place, ...] = Field(min_length=1, max_length=_MAX_FEATURES)
    scaling_factor: Finite = Field(validation_alias=AliasChoices("scaling_factor", "factor"))
    prompt: str | None = None
    """The text it came from, where that is another one."""


class CircuitTracer(_Read):
    """A list of values or of scaled supernodes, with the arguments of the call."""

    interventions: tuple[Value, ...] | tuple[Scaled, ...] = Field(
        min_length=1, max_length=_MAX_FEATURES
    )
    freeze_attention: bool | None = None
    constrained_layers: Any = None
    prompt: str | None = None


class Steered(_Read):
    """One feature that Neuronpedia steers."""

    layer: Layer
    index: Index
    strength: Finite | None = Field(
        default=None, validation_alias=AliasChoices("strength", "multiplier")
    )
    delta: Finite | None = None
    """What is added, in activations."""
    ablate: bool = False
    maximum: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None,
        validation_alias=AliasChoices("maximum", "max", "max_activation", "maxActApprox"),
    )
    position: Position | None = Field(
        default=None,
        validation_alias=AliasChoices("position", "steer_position", "token_active_position"),
    )
    steer_generated_tokens: bool = False


class Neuronpedia(_Read):
    """Settings of its steering page or server."""

    features: tuple[Steered, ...] = Field(min_length=1, max_length=_MAX_FEATURES)
    freeze_attention: bool | None = None
    prompt: str | None = None


def read_settings(path: Path) -> CircuitTracer | Neuronpedia:
    """Read a file of either tool.

    Raises:
        UsageError: It cannot be read, or is neither.
    """
    data = read(path).data
    if isinstance(data, list):
        data = {"interventions": data}
    if not isinstance(data, dict):
        raise UsageError(f"{path}: a list or a mapping is expected, {_NEITHER}")
    given = cast(dict[str, Any], data)
    kinds = {"interventions": CircuitTracer, "features": Neuronpedia}
    found = [key for key in kinds if key in given]
    if len(found) != 1:
        raise UsageError(f"{path}: it has {listed(map(str, given)) or 'nothing'}; {_NEITHER}")
    try:
        return kinds[found[0]].model_validate(given)
    except ValidationError as error:
        raise UsageError(f"{path}: {_misfits(error)}.") from None


_NEITHER = (
    "circuit-tracer's interventions ([[layer, pos, feature, value], …], or a list of {supernode, "
    "features, scaling_factor}), or Neuronpedia's settings ({features: [{layer, index, strength, "
    "maximum}]})."
)


def _misfits(error: ValidationError) -> str:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in errors[:_N_TOLD]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")
