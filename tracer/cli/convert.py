"""`tracer convert`: steering settings of other tools as `supernodes:` and `interventions:`.

circuit-tracer *sets* features: to values, `[layer, pos, feature, value]`, or a supernode to its
scaling factor × the activations on the prompt that the supernode came from. Neuronpedia sets a
feature to its activation *plus* strength × its maximum over a dataset, or to zero (`ablate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from tracer.cli.output import stderr, write_stdout
from tracer.errors import EXIT_OK, UsageError, dotted, listed
from tracer.hypothesis.clamps import HERE
from tracer.hypothesis.declared import is_name
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import free_name
from tracer.record.graph.neuronpedia_format import read
from tracer.report.screen import clean

_MAX_FEATURES = 10_000
_N_TOLD = 3
_SOME = Field(min_length=1, max_length=_MAX_FEATURES)


def _layer(value: Any) -> Any:
    # Neuronpedia writes a layer with its dictionary: '20-gemmascope-transcoder-16k'.
    found = re.match(r"(\d{1,4})(-|$)", value) if isinstance(value, str) else None
    return int(found[1]) if found else value


def _split(value: Any) -> Any:
    # A graph page names a feature 'layer_feature_pos'.
    found = find_given(value) if isinstance(value, str) else None
    return value if found is None or found.pos is None else [found.layer, found.pos, found.feature]


Layer = Annotated[int, Field(ge=0, lt=10_000), BeforeValidator(_layer)]
Index = Annotated[int, Field(ge=0, lt=10**9)]
Position = Annotated[int, Field(gt=-(10**7), lt=10**7)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Value = tuple[Layer, Position, Index, Finite]
"""[layer, pos, feature, value]."""
Place = Annotated[tuple[Layer, Position, Index], BeforeValidator(_split)]
"""[layer, pos, feature]."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Scaled(_Settings):
    """A supernode and how much of its own activation it is set to."""

    supernode: str = Field(validation_alias=AliasChoices("supernode", "name"))
    features: tuple[Place, ...] = Field(min_length=1, max_length=_MAX_FEATURES)
    scaling_factor: Finite = Field(validation_alias=AliasChoices("scaling_factor", "factor"))
    prompt: str | None = None
    """The text it came from, where that is another one."""


_VALUES, _SCALED = "list of [layer, pos, feature, value]", "list of supernodes"


def _form(interventions: Any) -> str:
    """Which of both a list is, by its first item."""
    first = next(iter(interventions), None) if isinstance(interventions, list | tuple) else None
    return _SCALED if isinstance(first, dict | Scaled) else _VALUES


class CircuitTracer(_Settings):
    """A list of values or of scaled supernodes, with the arguments of the call."""

    interventions: Annotated[
        Annotated[tuple[Value, ...], _SOME, Tag(_VALUES)]
        | Annotated[tuple[Scaled, ...], _SOME, Tag(_SCALED)],
        Discriminator(_form),
    ]
    freeze_attention: bool | None = None
    constrained_layers: Any = None
    prompt: str | None = None


class Steered(_Settings):
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


class Neuronpedia(_Settings):
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
    """The first mistakes; a list is too short only where nothing is in it."""
    errors = error.errors(include_url=False, include_context=False)
    errors = [each for each in errors if not (each["type"] == "too_short" and each["input"])]
    told: list[str] = []
    for each in errors[:_N_TOLD]:
        where = dotted(tuple(piece for piece in each["loc"] if piece not in (_VALUES, _SCALED)))
        told.append(f"{where}: {each['msg'].lower()}")
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass
class Fragment:
    """Parts of a hypothesis file, and what a reader must know of them."""

    prompt: str
    """The name of the prompt that is clamped."""
    freeze: str = "none"
    prompts: dict[str, Any] = field(default_factory=dict[str, Any])
    supernodes: dict[str, Any] = field(default_factory=dict[str, Any])
    clamp: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])

    def yaml(self) -> str:
        """The fragment; its notes stand above it as comments."""
        imported = {"prompts": [self.prompt], "clamp": self.clamp, "freeze": self.freeze}
        data = {
            "prompts": self.prompts,
            "supernodes": self.supernodes,
            "interventions": {"imported": imported},
        }
        comments = [f"# {clean(note)}\n" for note in self.notes]
        return "".join(comments) + to_yaml({key: part for key, part in data.items() if part})

    def add_prompt(self, name: str, text: str) -> None:
        """A prompt whose braces are no variables."""
        self.prompts[name] = {"text": text.replace("{", "{{").replace("}", "}}")}

    def add_supernode(self, label: str, node: dict[str, Any], clamp: Any) -> None:
        """A supernode under a name of its own, and its clamp; none without features."""
        if node["features"]:
            name = _free(label, self.supernodes)
            self.supernodes[name] = {"label": label, **node} if label != name else node
            self.clamp[name] = clamp

    def leave_out_unknown(self, settings: BaseModel) -> None:
        """Note the keys that mean nothing here, each once."""
        for key in settings.model_extra or {}:
            note = f"{key!r} has no counterpart here and was left out."
            if note not in self.notes:
                self.notes.append(note)


def fragment(settings: CircuitTracer | Neuronpedia, prompt: str) -> Fragment:
    """Translate settings; `prompt` names the prompt they are applied to."""
    made = Fragment(prompt, freeze="none" if settings.freeze_attention is False else "attention")
    if settings.prompt is not None:
        made.add_prompt(prompt, settings.prompt)
    if isinstance(settings, CircuitTracer):
        _circuit_tracer(settings, made)
    else:
        _neuronpedia(settings, made)
    made.leave_out_unknown(settings)
    made.notes.append("`expect` is still to be written: what must the clamps do?")
    return made


def _circuit_tracer(settings: CircuitTracer, made: Fragment) -> None:
    if settings.freeze_attention is None:
        made.notes.append("freeze: circuit-tracer freezes attention unless told otherwise.")
    if settings.constrained_layers is not None:
        made.freeze = "all"
        made.notes.append(
            "constrained_layers: here all layers are held (freeze: all); a part of them cannot be."
        )
    _values([each for each in settings.interventions if isinstance(each, tuple)], made)
    for scaled in settings.interventions:
        if isinstance(scaled, Scaled):
            _scaled(scaled, made)


def _values(values: Sequence[Value], made: Fragment) -> None:
    """One supernode for each value that features are set to."""
    last = {(layer, pos, index): value for layer, pos, index, value in values}
    if len(last) < len(values):
        made.notes.append("features given twice: the later value stands, as in circuit-tracer.")
    groups: dict[float, list[str]] = {}
    for place, value in last.items():
        groups.setdefault(value, []).extend(_ids([place], made))
    for value, ids in groups.items():
        clamp = 0 if value == 0 else {"to": value}
        made.add_supernode(f"set_to_{value:g}", {"features": ids}, clamp)


def _scaled(scaled: Scaled, made: Fragment) -> None:
    node: dict[str, Any] = {"features": _ids(scaled.features, made)}
    clamp: Any = {"times": scaled.scaling_factor, "from": [HERE]}
    if scaled.prompt is not None:
        source = _free(f"source_of_{scaled.supernode}", made.prompts)
        made.add_prompt(source, scaled.prompt)
        node["source"] = [source]
        clamp = scaled.scaling_factor
    made.add_supernode(scaled.supernode, node, clamp)
    made.leave_out_unknown(scaled)


def _ids(places: Iterable[tuple[int, int, int]], made: Fragment) -> list[str]:
    """`layer_index_position`, or `layer_index` for the last token; each once."""
    ids: list[str] = []
    for layer, pos, index in places:
        if pos < -1:
            made.notes.append(
                f"left out: feature {layer}_{index} at position {pos}, counted from the end."
            )
        else:
            ids.append(f"{layer}_{index}" + (f"_{pos}" if pos >= 0 else ""))
    return list(dict.fromkeys(ids))


def _neuronpedia(settings: Neuronpedia, made: Fragment) -> None:
    if settings.freeze_attention is None:
        made.notes.append(
            "freeze: Neuronpedia's page freezes attention unless told otherwise; its graph "
            "server's own API does not."
        )
    groups: dict[tuple[str, float, bool], list[tuple[Steered, float | None]]] = {}
    for steered in settings.features:
        unit, value, maximum = _amount(steered, made)
        if unit is not None:
            key = (unit, value, steered.steer_generated_tokens)
            groups.setdefault(key, []).append((steered, maximum))
        made.leave_out_unknown(steered)
    for (unit, value, onward), members in groups.items():
        places = [(s.layer, -1 if s.position is None else s.position, s.index) for s, _ in members]
        node: dict[str, Any] = {"features": _ids(places, made)}
        maxima = {f"{s.layer}_{s.index}": m for s, m in members if m is not None}
        if maxima:
            node["maxima"] = maxima
        clamp = {unit: value} | ({"onward": True} if onward else {})
        made.add_supernode(f"{unit}_{value:g}", node, 0 if clamp == {"times": 0.0} else clamp)
    if any(steered.position is None for steered in settings.features):
        made.notes.append("features without a position are put at the last token; see `at`.")


def _amount(steered: Steered, made: Fragment) -> tuple[str | None, float, float | None]:
    """Unit, value and maximum of one feature; no unit where it says too little."""
    name = f"{steered.layer}_{steered.index}"
    if steered.ablate:
        return "times", 0.0, None
    if steered.strength is not None and steered.maximum is not None:
        return "add", steered.strength, steered.maximum
    if steered.delta is not None:
        made.notes.append(f"{name}: its delta is in activations, so its maximum is written as 1.")
        return "add", steered.delta, 1.0
    lacking = "strength" if steered.strength is None else "maximum over the dataset"
    made.notes.append(f"left out: feature {name} has no {lacking}; its card on the site says it.")
    return None, 0.0, None


def _free(label: str, taken: dict[str, Any]) -> str:
    """A name for a label, which no other part has."""
    base = _NAME.sub("_", label).strip("_-")[:50] or "features"
    base = base if re.match(r"[A-Za-z_]", base) else f"_{base}"
    return free_name(base, taken)


def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON of either tool.", show_default=False)
    ],
    prompt: Annotated[
        str, typer.Option(metavar="NAME", help="What the clamped prompt is called.")
    ] = "prompt",
) -> int:
    """Print circuit-tracer's interventions or Neuronpedia's steering as parts of a hypothesis.

    What has no counterpart is told, here and in comments.

    tracer convert interventions.json --prompt dallas

    tracer convert steering.json >> hypotheses/mine.yaml
    """
    if not is_name(prompt):
        raise UsageError(f"--prompt {prompt}: a name is letters, digits, _ and -, e.g. dallas.")
    made = fragment(read_settings(file), prompt)
    write_stdout(made.yaml())
    for note in made.notes:
        stderr().say(note)
    return EXIT_OK
