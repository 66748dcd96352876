"""Interventions: named clamps on prompts and what must happen, and words all parts of a file share.

A clamp sets its features to an amount in one of three units:

- `times`: a multiple of the mean activation on the source prompts. With `from: [here]` the source
  is the clamped prompt itself, which is circuit-tracer's unit.
- `to`: a value, whatever the feature's activation is.
- `add`: the activation on the clamped prompt, plus a multiple of the feature's maximum over a
  dataset, which is Neuronpedia's unit.

What the schema cannot say about one is checked by `clamp_problems`, wherever it stands.

A direction is what is explained or moved toward: an answer, a token, or one token against another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, Discriminator, Field, Tag

from tracer.errors import KeyPath, Problem, unknown
from tracer.hypothesis.attention import PatternClamp
from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.expectations.base import TokenPair
from tracer.hypothesis.expectations.registry import DoseExpectationForm, ExpectationForm

if TYPE_CHECKING:
    from tracer.hypothesis.parts import Parts
    from tracer.hypothesis.spec import SupernodeSpec

Unit = Literal["times", "to", "add"]
UNITS: tuple[Unit, ...] = ("times", "to", "add")
_FORMS = {"times": "×{}", "to": "= {}", "add": "+ {} × maximum"}


class Amount(NamedTuple):
    """A number and its unit."""

    unit: Unit
    value: float

    def words(self) -> str:
        """As people read it: '×−1', '= 12.5', '+ 2 × maximum'; the minus sign is U+2212."""
        return _FORMS[self.unit].format(f"{self.value:g}").replace("-", "\u2212")


def amount_of(times: float | None, to: float | None, add: float | None) -> Amount:
    """The one that is given; ×1 where none is, which moves activations as they are."""
    if to is not None:
        return Amount("to", to)
    return (
        Amount("add", add) if add is not None else Amount("times", 1.0 if times is None else times)
    )


class TokenDirection(Declared):
    """Toward the logit of one token."""

    token: str


class LogitDiffDirection(Declared):
    """Toward logit(first) − logit(second)."""

    logit_diff: TokenPair


def _direction_tag(value: Any) -> str:
    if isinstance(value, dict):
        return "<pair>" if "logit_diff" in value else "<token>"
    if isinstance(value, BaseModel):
        return "<pair>" if isinstance(value, LogitDiffDirection) else "<token>"
    return "<word>"


Direction = Annotated[
    Annotated[Literal["answer"], Tag("<word>")]
    | Annotated[TokenDirection, Tag("<token>")]
    | Annotated[LogitDiffDirection, Tag("<pair>")],
    Discriminator(_direction_tag),
]
Toward = Annotated[
    Annotated[Literal["salient", "answer"], Tag("<word>")]
    | Annotated[TokenDirection, Tag("<token>")]
    | Annotated[LogitDiffDirection, Tag("<pair>")],
    Discriminator(_direction_tag),
]
HERE = "here"
"""Reserved prompt name in `from:`: the prompt that the intervention is run on."""
LAST = "last"
"""Reserved span name: the final token of every prompt."""
RESERVED = (HERE, LAST)
"""Names that neither a prompt nor a span may have."""


def length_tag(value: Any) -> str:
    """Short forms are scalars, long forms mappings: a mistake is told about the form used."""
    return "<long>" if isinstance(value, dict | BaseModel) else "<short>"


Factor = Annotated[float, Field(allow_inf_nan=False)]
EXACT_UP_TO = 8
"""Longest dose series of which every order is counted; of a longer one, orders are drawn."""


class ClampSpec(Declared):
    """Set every feature of a supernode: by `times`, `to` or `add`, and ×1 where none is given."""

    times: Factor | None = Field(
        default=None, description="Multiple of the feature's mean activation on `from`."
    )
    to: Factor | None = Field(default=None, description="This value, whatever the prompt.")
    add: Factor | None = Field(
        default=None,
        description="Its activation on the clamped prompt, plus this multiple of its maximum.",
    )
    from_: tuple[Name, ...] | None = Field(
        default=None,
        alias="from",
        description="Prompts, averaged; `here` is the clamped prompt itself.",
    )
    at: Name | None = Field(default=None, description="Put the features at this span instead.")
    onward: bool = Field(
        default=False,
        description="Every feature stays set from its position on: to the prompt's end, and at "
        "every position that is generated.",
    )

    @property
    def amount(self) -> Amount:
        """How much, and in which unit."""
        return amount_of(self.times, self.to, self.add)


ClampForm = Annotated[
    Annotated[Factor, Tag("<short>")] | Annotated[ClampSpec, Tag("<long>")],
    Discriminator(length_tag),
]


def donors(clamp: Mapping[str, ClampForm]) -> tuple[str, ...]:
    """Every prompt that clamps take activations from, the clamped one left out."""
    given = [each.from_ or () for each in clamp.values() if isinstance(each, ClampSpec)]
    return tuple(name for names in given for name in names if name != HERE)


def taken_from(clamp: ClampSpec, own: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    """The prompts whose mean activations a clamp multiplies: its `from`, else the supernode's own.

    `here` is the clamped prompt. A clamp that sets or adds a value takes from none.
    """
    sources = (clamp.from_ or own) if clamp.amount.unit == "times" else ()
    return tuple(prompt if source == HERE else source for source in sources)


def long_form(clamp: ClampForm) -> ClampSpec:
    """A clamp with its short form written out: 2 is {times: 2}."""
    return clamp if isinstance(clamp, ClampSpec) else ClampSpec(times=clamp)


class Doses(Declared):
    """One clamp of the intervention repeated at several factors, the others as they are.

    A factor is in the unit of the clamp: a multiple, a value, or multiples of the maximum.
    """

    of: Name
    factors: tuple[Factor, ...] = Field(min_length=2, max_length=50)
    expect: tuple[DoseExpectationForm, ...] = ()


class Generation(Declared):
    """Text that the model writes under the clamps, and without them."""

    tokens: int = Field(ge=1, le=512, description="The most; a stop token ends it earlier.")
    temperature: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="0 takes the most probable token."
    )
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Of the samples; default: the file's own."
    )
    samples: int = Field(default=1, ge=1, le=100, description="Texts for each prompt.")


class InterventionSpec(Declared):
    """Named clamps on prompts, or attention patterns that are set, and what must happen.

    Where two clamps of one intervention name the same feature at the same position, the one
    written later wins, and the run says how many were shared.
    """

    prompts: tuple[Name, ...] = Field(min_length=1)
    clamp: dict[Name, ClampForm] = {}
    attention: tuple[PatternClamp, ...] = Field(
        default=(), description="Attention patterns that are set; the later one wins."
    )
    freeze: Literal["none", "attention", "all"] = Field(
        default="none",
        description="none: everything downstream reacts; attention: patterns stay as in the clean "
        "run; all: patterns, norm scales and every other feature stay (direct effects).",
    )
    expect: tuple[ExpectationForm, ...] = ()
    doses: Doses | None = None
    generate: Generation | None = None

    @property
    def set_supernodes(self) -> tuple[str, ...]:
        """Every supernode that it clamps, or whose heads' patterns it sets."""
        heads = (each.heads for each in self.attention if isinstance(each.heads, str))
        return tuple(dict.fromkeys((*self.clamp, *heads)))

    @property
    def is_drawn(self) -> bool:
        """Whether a seed decides anything of it: controls, samples, or orders of a long series."""
        how, doses = self.generate, self.doses
        sampled = how is not None and how.temperature > 0 and how.seed is None
        shuffled = doses is not None and len(doses.factors) > EXACT_UP_TO
        return self.is_compared or sampled or shuffled

    @property
    def is_compared(self) -> bool:
        """Whether an expectation compares it with controls; else none are drawn for it."""
        return any(expectation.is_compared for expectation in self.expect)

    @property
    def is_procedure_compared(self) -> bool:
        """Whether an expectation compares it with the same rule on wrong donors."""
        return any(expectation.is_procedure_compared for expectation in self.expect)


def clamp_problems(
    parts: Parts, path: KeyPath, spec: InterventionSpec, name: str
) -> Iterator[Problem]:
    """Mistakes in the clamp of one supernode; `path` is that of what it stands in."""
    place = (*path, "clamp", name)
    if name not in parts.supernodes:
        yield Problem(place, unknown("supernode", name, parts.supernodes))
        return
    clamp = long_form(spec.clamp[name])
    if clamp.from_ is not None:
        yield from parts.prompt_problems((*place, "from"), clamp.from_, reserved=(HERE,))
    yield from _amount_problems(place, clamp)
    node = parts.supernodes[name]
    if clamp.at is not None:
        yield from parts.span_problems((*place, "at"), clamp.at, spec.prompts)
    if node is None:
        return
    yield from _clamp_needs(parts, place, spec, node, clamp)


def _amount_problems(place: KeyPath, clamp: ClampSpec) -> Iterator[Problem]:
    """One unit says how much; only a multiple of an activation comes from other prompts."""
    given = [unit for unit in UNITS if getattr(clamp, unit) is not None]
    if len(given) > 1:
        named = " and ".join(f"`{unit}`" for unit in given)
        yield Problem(place, f"it has {named}; one of them says how much")
    elif clamp.from_ is not None and clamp.amount.unit != "times":
        message = f"it says nothing beside `{given[0]}`, which takes no activation from elsewhere"
        yield Problem((*place, "from"), message)


def _clamp_needs(
    parts: Parts, place: KeyPath, spec: InterventionSpec, node: SupernodeSpec, clamp: ClampSpec
) -> Iterator[Problem]:
    """What a clamp asks of its supernode: a place on every prompt, and an activation."""
    name = str(place[-1])
    donors = [donor for donor in clamp.from_ or () if donor != HERE]
    written = spec.prompts if clamp.at is None else ()
    if node.is_anchored:
        if parts.is_placed(node):
            yield from parts.span_problems(place, node.span, (*written, *donors))
    elif clamp.at is not None:
        message = f"it says nothing: every feature of {name!r} has a position of its own"
        yield Problem((*place, "at"), message)
    unit, value = clamp.amount
    if unit != "times" and node.is_heads:
        message = (
            f"{name!r} holds heads, whose activation is a vector: it is set to a multiple of what "
            "it is somewhere, `times` with or without `from`"
        )
        yield Problem((*place, unit), message)
    elif unit == "add" and node.maxima is None and parts.is_whole("supernodes", name):
        message = f"{name!r} has no `maxima` to add a multiple of: give it those of its features"
        yield Problem((*place, "add"), message)
    factors = {value}
    if spec.doses is not None and spec.doses.of == name:
        factors |= set(spec.doses.factors)
    needs_source = unit == "times" and any(factors) and clamp.from_ is None
    if needs_source and not node.has_source and parts.is_whole("supernodes", name):
        explicit = "heads" if node.is_heads else "features"
        yield Problem(
            place,
            f"{name!r} has explicit {explicit} and no `source`, so there is no activation to "
            f"multiply: give the supernode a `source`, or write {{times: …, from: [{HERE}]}}",
        )
