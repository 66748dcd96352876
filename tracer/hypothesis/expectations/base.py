"""What every expectation has in common: one measure, one test, and what a file may get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from tracer.errors import KeyPath, Problem, listed

if TYPE_CHECKING:
    from tracer.hypothesis.clamps import InterventionSpec
    from tracer.hypothesis.parts import Parts

Alpha = Annotated[float, Field(gt=0, lt=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
TokenPair = tuple[str, str]


class Expectation(BaseModel):
    """Base of all expectations.

    A token is written as it is decoded, leading space included (`" Austin"`), and may hold the
    prompt's variables: `"{answer}"` is the prompt's own answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    KEY: ClassVar[str]
    """The key that names its measure; a file's expectation is told by it."""

    mostly: Share = Field(
        default=1.0,
        description="Share of the prompts of each split (discovery, held out) it must hold on.",
    )

    fails: bool = Field(
        default=False,
        description="It is to fail: the negative result that `expected: refuted` states.",
    )

    @property
    def is_compared(self) -> bool:
        """Whether it compares with controls; else none are drawn for it."""
        return False

    @property
    def is_procedure_compared(self) -> bool:
        """Whether it compares with the same rule on other donors; else none are made for it."""
        return False

    @property
    def claims_no_change(self) -> bool:
        """Whether it is about what stays as it is: then it holds unclamped, and may."""
        return False

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The tokens it asks for, by the key that names them, variables unfilled."""
        return {}

    def words(self) -> dict[str, str]:
        """The words it looks for in generated text, by key; they need not be one token."""
        return {}

    def supernodes(self) -> tuple[str, ...]:
        """The supernodes it reads."""
        return ()

    def problems(self, parts: Parts, path: KeyPath, spec: InterventionSpec) -> Iterator[Problem]:
        """Mistakes that the schema cannot tell.

        Args:
            parts: The file.
            path: Its own place in it.
            spec: The intervention it is expected of.
        """
        yield from ()


class GraphExpectation(Expectation):
    """Base of what is expected of the attribution graphs of a file."""

    def head_ids(self) -> Iterator[tuple[KeyPath, str]]:
        """The heads that it names by their ids, each with its place in it."""
        yield from ()

    def graph_problems(
        self, parts: Parts, path: KeyPath, prompts: Sequence[str]
    ) -> Iterator[Problem]:
        """Mistakes that the schema cannot tell.

        Args:
            parts: The file.
            path: Its own place in it.
            prompts: Those of the section.
        """
        yield from ()


def one_test_problems(
    parts: Parts, path: KeyPath, expectation: Expectation, tests: tuple[str, ...]
) -> Iterator[Problem]:
    """Where not exactly one of the tests is given."""
    given = [test for test in tests if getattr(expectation, test) is not None]
    if len(given) > 1:
        yield Problem(path, f"it has {len(given)} tests, {listed(given)}; one is expected")
    if not given and parts.is_whole(*path[:2]):
        yield Problem(path, f"it tests nothing: one of {listed(tests)} is expected")


def bounds_problems(
    path: KeyPath, expectation: BaseModel, what: str, keys: tuple[str, str] = ("above", "below")
) -> Iterator[Problem]:
    """No bound, or bounds that exclude each other; `what` is the number they are of."""
    above, below = (getattr(expectation, key) for key in keys)
    if above is None and below is None:
        yield Problem(path, f"it tests nothing: `{keys[0]}` or `{keys[1]}` is expected")
    elif above is not None and below is not None and above >= below:
        yield Problem(path, f"`{keys[0]}` is not below `{keys[1]}`: no {what} can be both")


def same_token_problems(path: KeyPath, pair: TokenPair) -> Iterator[Problem]:
    """Where a difference is one of a token and itself; `path` is the expectation's."""
    if len(set(pair)) == 1:
        yield Problem((*path, "logit_diff"), "both tokens are the same, so the difference is 0")


def form_of(kinds: tuple[type[Any], ...], message: str) -> Any:
    """The pydantic type of an expectation of one of these kinds, told by its key.

    Args:
        kinds: Each with a `KEY` of its own.
        message: Said of a value that has none of the keys; the keys follow.
    """
    keys = [kind.KEY for kind in kinds]

    def tag(value: Any) -> str | None:
        """Spelled so that no key of a file can be taken for it."""
        if isinstance(value, dict):
            return next((f"<{key}>" for key in keys if key in value), None)
        return f"<{value.KEY}>" if isinstance(value, kinds) else None

    members = tuple(Annotated[kind, Tag(f"<{kind.KEY}>")] for kind in kinds)
    discriminator = Discriminator(
        tag, custom_error_type="no_measure", custom_error_message=message + ", ".join(keys)
    )
    return Annotated[Union[members], discriminator]  # noqa: UP007 # of a tuple
