"""Read a file's data against the schema: the hypothesis, or what can be saved of its parts."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracer.errors import KeyPath, Problem, nearest
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.names import NEURONS
from tracer.hypothesis.parts import Part, Parts
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.schema_messages import place_of, problems_of
from tracer.hypothesis.spec import Controls, Hypothesis, PromptSpec, SupernodeSpec
from tracer.hypothesis.studies.graph import GraphSpec
from tracer.hypothesis.studies.registry import STUDIES

_MOST_MISSPELT = 20
"""Keys that are compared with the known ones."""


class ReadHypothesis(NamedTuple):
    """A hypothesis if the schema allows it, its parts in any case."""

    hypothesis: Hypothesis | None
    parts: Parts
    problems: list[Problem]


def validated(model: type[Part], data: Any) -> Part:
    """Validate as strictly as JSON: no text for a number, no 1 for true.

    Raises:
        ValidationError: it does not fit.
    """
    return model.model_validate_json(json.dumps(data), strict=True)


def read_parts(
    data: Mapping[str, Any], written: Mapping[KeyPath, str] | None = None
) -> ReadHypothesis:
    """Check plain data against the schema; `written` has its values as the file spells them."""
    try:
        hypothesis = validated(Hypothesis, data)
    except ValidationError as error:
        details = error.errors(include_url=False)
        broken = frozenset(place_of(detail)[:2] for detail in details)
        found = problems_of(error, data, written=written)
        return ReadHypothesis(None, _readable_parts(data, broken), found)
    return ReadHypothesis(hypothesis, parts_of(hypothesis), [])


def parts_of(hypothesis: Hypothesis) -> Parts:
    """The parts of a hypothesis that the schema allows."""
    return Parts(
        hypothesis.template,
        hypothesis.prompts,
        hypothesis.supernodes,
        hypothesis.interventions,
        {kind.SECTION: hypothesis.studies_of(kind) for kind in STUDIES},
        hypothesis.graph,
        hypothesis.controls,
        hypothesis.robustness,
        hypothesis.expected,
        hypothesis.model_spec.name,
        hypothesis.features,
        frozenset(),
        {},
    )


def _readable_parts(written: Mapping[str, Any], broken: frozenset[KeyPath]) -> Parts:
    misspelt = _misspelt(written)
    data = {**written, **{name: written[key] for name, key in misspelt.items()}}
    template = _at(data, "template") or _at(data, "prompts", "template")
    return Parts(
        template if isinstance(template, str) else None,
        _section(PromptSpec, data.get("prompts")),
        _section(SupernodeSpec, data.get("supernodes")),
        _section(InterventionSpec, data.get("interventions")),
        {kind.SECTION: _section(kind, data.get(kind.SECTION)) for kind in STUDIES},
        _one(GraphSpec, data.get("graph")),
        _pruned(Controls, data.get("controls", {})) or Controls(),
        _one(Robustness, data.get("robustness")),
        expected if isinstance(expected := data.get("expected"), str) else "",
        _model(data.get("model")),
        features if isinstance(features := data.get("features"), str) else NEURONS,
        broken,
        misspelt,
    )


def _misspelt(written: Mapping[str, Any]) -> dict[str, str]:
    """Keys that are none, by the section that each is nearest to, where that is absent."""
    known = Hypothesis.model_fields
    strange = islice((key for key in written if key not in known), _MOST_MISSPELT)
    meant = {nearest(key, known): key for key in strange}
    return {name: key for name, key in meant.items() if name is not None and name not in written}


def _model(declared: Any) -> str:
    """The name, which may stand alone or in the long form."""
    name = _at(declared, "name") or declared
    return name if isinstance(name, str) else ""


def _at(data: Any, *path: str) -> Any:
    """The value there, or None; a template put under `prompts` is read for what it was meant."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # plain data
    return data  # pyright: ignore[reportUnknownVariableType] # plain data


def _section(model: type[Part], section: Any) -> dict[str, Part | None]:
    if not isinstance(section, dict):
        return {}
    return {str(name): _pruned(model, raw) for name, raw in section.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] # plain data


def _one(model: type[Part], raw: Any) -> Part | None:
    """A section that is a part itself."""
    return _pruned(model, raw) if isinstance(raw, dict) else None


def _pruned(model: type[Part], raw: Any) -> Part | None:
    """The part without what is wrong in it, or None where nothing can be left out."""
    raw = copy.deepcopy(raw)
    while True:
        try:
            return validated(model, raw)
        except ValidationError as error:
            details = error.errors(include_url=False)
            places = {_removable(detail) for detail in details}
            if () in places:
                return None
            for *parent, last in sorted(places, key=len, reverse=True):
                holder = raw
                for key in parent:
                    holder = holder[key]
                del holder[last]


def _removable(detail: ErrorDetails) -> KeyPath:
    """What to leave out for one mistake: never a list's item, so that indices stay true."""
    place = place_of(detail)
    if detail["type"] == "missing":
        place = place[:-1]
    first_index = next((i for i, key in enumerate(place) if isinstance(key, int)), len(place))
    return place[:first_index]
