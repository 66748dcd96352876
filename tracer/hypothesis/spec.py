"""What a hypothesis file may say: the declared side of an experiment, and nothing measured.

Every model here is frozen and strict: an unknown key is an error, a choice is a `Literal`, and a
default stands only here. References between parts (does this prompt exist?) are checked in
`tracer.hypothesis.check`; what needs a tokenizer is checked in `tracer.hypothesis.tokens`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, ConfigDict, Discriminator, Field, Tag, create_model

from tracer.errors import KeyPath
from tracer.hypothesis.clamps import LAST, Direction, InterventionSpec, length_tag
from tracer.hypothesis.declared import Declared, Name
from tracer.hypothesis.expectations.attends import Attends, PatternWeight
from tracer.hypothesis.neuronpedia_ids import find_given
from tracer.hypothesis.robustness import Robustness
from tracer.hypothesis.studies.graph import GRAPH, GraphSpec
from tracer.hypothesis.studies.necessity import Necessity
from tracer.hypothesis.studies.registry import STUDIES
from tracer.hypothesis.studies.study import Study

"""'layer_index' or 'layer_index_position'."""
StudyKind = TypeVar("StudyKind", bound=Study)
Expected = Literal["confirmed", "consistent", "refuted"]
"""What a file may say of its own verdict."""


class ModelSpec(Declared):
    """Which language model, and how it is loaded."""

    name: str = Field(min_length=1, description="A registered name, a Hugging Face id or a folder.")
    revision: str | None = Field(
        default=None, description="Git revision on the hub; None is its default."
    )
    dtype: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:0, mps, balanced, …")


ModelForm = Annotated[
    Annotated[ModelSpec, Tag("<long>")] | Annotated[str, Tag("<short>")],
    Discriminator(length_tag),
]


class Message(Declared):
    """One turn of a chat prompt; the model's own chat template joins the turns."""

    role: Literal["system", "user", "assistant"]
    content: str


class PromptSpec(Declared):
    """A text with its answer; every key not listed here fills the variable of that name.

    Exactly one source of text: `text`, `messages`, or else the file's `template`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, str]  # pyright: ignore[reportIncompatibleVariableOverride] # pydantic's way to type extra keys

    text: str | None = Field(default=None, description="The prompt, with {variables}.")
    messages: tuple[Message, ...] | None = Field(
        default=None, description="Chat turns, with {variables}."
    )
    answer: str | None = Field(
        default=None, description="The one token the model must give, unclamped."
    )
    held_out: bool = Field(
        default=False, description="Judged apart; never used to find a supernode."
    )
    group: str | None = Field(
        default=None,
        min_length=1,
        description="Prompts of one group (a template, a topic) depend on each other: intervals "
        "draw them, and tests across prompts flip them, together. Default: each stands alone.",
    )
    spans: dict[Name, str] = Field(
        default={}, description="Named substrings; each must occur exactly once in the prompt."
    )

    @property
    def variables(self) -> dict[str, str]:
        """The values this prompt gives to the {variables} of its text."""
        return dict(self.__pydantic_extra__ or {})


Which = Literal["last", "first", "all"]
Rule = Literal["activation", "gradient", "half", "influence"]
"""`activation` never looks at the output; the others choose a set toward it."""


class Selection(Declared):
    """A rule that finds a supernode on discovery prompts.

    The contrast of a feature is its mean activation on `on` minus that on `against`, or on nothing.

    - `by: activation` does not look at the output. The score is ‖W_dec‖ · min over contrasts of
      |contrast| · |mean dᵢ| / √(mean dᵢ²), with dᵢ the contrast of the i-th prompt of `on` alone;
      0 where the contrasts with `against` and with each group of `against_each` differ in sign.
    - `by: gradient` and `by: half` are attribution patching: contrast × mean gradient of the
      direction on `on`.
    - `by: influence` is the mean influence in the attribution graphs of `on`, minus that in those
      of `against`.
    """

    unit: Literal["features", "heads"] = Field(
        default="features",
        description="What is found: features, or heads of attention by their activation z; a head "
        "scores the sum over its coordinates (by gradient or half).",
    )
    on: tuple[Name, ...] = Field(min_length=1, description="Source prompts, averaged.")
    against: tuple[Name, ...] = Field(default=(), description="Contrast prompts, averaged.")
    against_each: tuple[tuple[Name, ...], ...] = Field(
        default=(),
        description="By activation: lists of contrast prompts, each averaged; a feature must differ"
        " from every one of them, to the same side.",
    )
    at: Name = Field(
        default="last", description="`last`, a variable of the template, or a named span."
    )
    tokens: Which = Field(default="last", description="Which tokens of the span.")
    layers: tuple[int, int] | None = Field(
        default=None, description="First and last layer, both kept."
    )
    toward: Direction = "answer"
    by: Rule = Field(
        default="gradient",
        validation_alias=AliasChoices("by", "rule"),
        description="activation: contrast and size of the write, whatever the output; or toward "
        "the direction: plain gradient, the linearised half rule, influence in attribution graphs.",
    )
    top: int | None = Field(default=None, ge=1, description="Keep the k strongest.")
    share: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Keep the strongest that carry this share of the positive sum.",
    )

    @property
    def explained(self) -> tuple[str, ...]:
        """Prompts on which the direction is asked for."""
        match self.by:
            case "activation":
                return ()
            case "influence":
                return (*self.on, *self.against)
            case _:
                return self.on

    @property
    def contrasts(self) -> tuple[tuple[str, ...], ...]:
        """Lists of prompts that it is compared with."""
        return (*((self.against,) if self.against else ()), *self.against_each)

    @property
    def compared_with(self) -> tuple[str, ...]:
        """Every prompt of the contrasts, once."""
        return tuple(dict.fromkeys(name for group in self.contrasts for name in group))

    @property
    def is_blind(self) -> bool:
        """Whether it never looks at the output that its set is judged by."""
        return self.by == "activation"


class NeuronpediaGroup(Declared):
    """A group of features as it is pinned in a graph page's address; nothing is fetched."""

    url: str = Field(description="https://www.neuronpedia.org/<model>/graph?…&supernodes=…")
    group: str = Field(description="The label of the group in the address.")


Maximum = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SupernodeSpec(Declared):
    """A named group of features, or of heads, that stand for a concept: a rule, or ids."""

    label: str | None = Field(
        default=None, description="The concept, for people; default: the name."
    )
    select: Selection | None = None
    features: tuple[str, ...] | None = Field(
        default=None, description="'layer_index' (put at `at`) or 'layer_index_position', quoted."
    )
    heads: tuple[str, ...] | None = Field(
        default=None, description="Heads of attention, 'layer.head', quoted, put at `at`."
    )
    neuronpedia: NeuronpediaGroup | None = Field(
        default=None, description="Explicit ids, taken from a Neuronpedia graph's address."
    )
    at: Name | None = Field(
        default=None, description="Where 'layer_index' features and heads sit; default: last."
    )
    source: tuple[Name, ...] | None = Field(
        default=None,
        description="Prompts whose mean activation is this supernode's own; default: `on`.",
    )
    maxima: dict[str, Maximum] | None = Field(
        default=None,
        description="By 'layer_index', the feature's greatest activation over a dataset; "
        "a clamp that says `add` counts in it.",
    )

    @property
    def is_heads(self) -> bool:
        """Whether its members are heads."""
        return self.heads is not None or (self.select is not None and self.select.unit == "heads")

    @property
    def span(self) -> str:
        """The span its members sit at."""
        return (self.select.at if self.select else self.at) or LAST

    @property
    def is_anchored(self) -> bool:
        """Whether any of its features sits at a span, not at a position of its own."""
        if self.neuronpedia is not None:
            return False
        found = [find_given(feature) for feature in self.features or ()]
        return self.features is None or not all(each and each.pos is not None for each in found)

    @property
    def found_on(self) -> tuple[str, ...]:
        """Every prompt of its rule, sources first."""
        return (*self.select.on, *self.select.compared_with) if self.select else ()

    @property
    def own_prompts(self) -> tuple[str, ...]:
        """Every prompt that its features or their activations come from."""
        return (*self.found_on, *(self.source or ()))

    @property
    def has_source(self) -> bool:
        """Whether it knows prompts whose activation is its own."""
        return self.select is not None or self.source is not None


class Controls(Declared):
    """What an intervention is compared with, where its expectations ask for it.

    Random sets answer: would any features of this number, place and size do? Procedure-matched sets
    answer: would the same rule find as much without the concept?
    """

    random: int = Field(default=99, ge=0, le=9999, description="Matched random sets.")
    matched: Literal["write", "range"] = Field(
        default="write",
        description="write: a random set is scaled to the norm of the real write, which may drive "
        "its features far up; range: never scaled, so each feature stays in its natural range.",
    )
    donors: tuple[Name, ...] = Field(
        default=(),
        description="Prompts of other concepts, several for each answer: every list of them with "
        "one answer, as long as `on`, is put into the rule in place of `on`.",
    )
    answers: tuple[str, ...] = Field(
        default=(),
        description="Other tokens: the rule is made with each in place of the claimed one, and "
        "judged by it.",
    )
    rivals: bool = Field(
        default=False,
        description="Measure crude interventions at the same place beside each that puts a concept "
        "in: whole MLP outputs, the whole residual stream, a difference of means.",
    )


class _Claim(Declared):
    """The part of a file that every claim has."""

    hypothesis: Name
    claim: str = Field(min_length=1)
    source: str | None = Field(default=None, description="Where the claim was published.")
    tags: tuple[str, ...] = ()
    expected: Expected = Field(
        default="confirmed",
        description="`consistent`: held, without all the evidence that `confirmed` needs; "
        "`refuted`: by the expectations that say `fails: true`.",
    )
    model: ModelForm = "gemma-3-270m"
    features: str = Field(
        default="neurons",
        min_length=1,
        description="neurons, a registered set of transcoders, a folder, or a hub id.",
    )
    if_absent: Literal["error", "skip"] = Field(
        default="error",
        description="Where the hub does not give the model or its features from here: an error, or"
        " the run leaves this file out and says why.",
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    template: str | None = Field(
        default=None, description="Text of the prompts that have none themselves."
    )
    prompts: dict[Name, PromptSpec] = Field(min_length=1)
    supernodes: dict[Name, SupernodeSpec] = {}
    interventions: dict[Name, InterventionSpec] = {}


_SECTIONS: dict[str, Any] = {
    kind.SECTION: (dict[Name, kind], Field(default={}, description=kind.summary()))
    for kind in STUDIES
}
_WithStudies: type[_Claim] = create_model("_WithStudies", __base__=_Claim, **_SECTIONS)


class Hypothesis(_WithStudies):
    """One YAML file: a claim about a model's inside, and how to test it."""

    graph: GraphSpec | None = None
    controls: Controls = Controls()
    robustness: Robustness | None = Field(
        default=None, description="Choices made otherwise, and how often the verdict is the same."
    )

    def studies_of(self, kind: type[StudyKind]) -> Mapping[str, StudyKind]:
        """The studies of one kind, by name."""
        return getattr(self, kind.SECTION)

    def studies(self) -> Iterator[tuple[str, Study]]:
        """Every study with its name, section by section."""
        for kind in STUDIES:
            yield from self.studies_of(kind).items()

    @property
    def uses_patterns(self) -> bool:
        """Whether attention patterns are set or read."""
        is_set = any(spec.attention for spec in self.interventions.values())
        return is_set or any(True for _ in self.weights_asked())

    def weights_asked(self) -> Iterator[tuple[KeyPath, tuple[Name, ...], PatternWeight]]:
        """Weights of patterns that are expected: each at its place, with the prompts it is for."""
        claims: dict[KeyPath, InterventionSpec | Necessity | GraphSpec] = {
            **{("interventions", name): spec for name, spec in self.interventions.items()},
            **{(Necessity.SECTION, name): n for name, n in self.studies_of(Necessity).items()},
            **({(GRAPH,): self.graph} if self.graph else {}),
        }
        for path, spec in claims.items():
            for number, each in enumerate(spec.expect):
                if isinstance(each, Attends):
                    yield (*path, "expect", number, "attends"), spec.prompts, each.attends

    @property
    def uses_heads(self) -> bool:
        """Whether heads are members of a supernode, expected of a graph, or set or read."""
        of_graphs = any(True for _ in self.graph_heads())
        is_member = any(node.is_heads for node in self.supernodes.values())
        return self.uses_patterns or of_graphs or is_member

    def graph_heads(self) -> Iterator[tuple[KeyPath, str]]:
        """Heads that are expected of graphs by their ids, each at its place."""
        for number, each in enumerate(self.graph.expect if self.graph else ()):
            for place, head in each.head_ids():
                yield ("graph", "expect", number, *place), head

    def n_controls(self, intervention: InterventionSpec) -> int:
        """How many controls an intervention has on each of its prompts."""
        return self.controls.random if intervention.is_compared else 0

    @property
    def model_spec(self) -> ModelSpec:
        """The model, in its long form."""
        return ModelSpec(name=self.model) if isinstance(self.model, str) else self.model
