"""What a tool is, and what every tool works with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mcp_types import ResourceLink
from pydantic import BaseModel, ConfigDict, Field

from tracer import engine
from tracer.cli.mcp.folders import Folders
from tracer.cli.measuring import Measuring
from tracer.engine.progress import Progress
from tracer.errors import HypothesisError
from tracer.hypothesis.load import HypothesisFile, Replacements, read
from tracer.hypothesis.spec import ModelSpec
from tracer.report.screen import Screen

if TYPE_CHECKING:
    from tracer.engine.session import Opened

_WIDTH = 100


class ToolArguments(BaseModel):
    """What a client gives a tool; unknown arguments are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileArguments(ToolArguments):
    """A hypothesis file, and what is replaced in it."""

    file: str = Field(description="A hypothesis file (.yaml) inside the server's folders.")
    set: tuple[str, ...] = Field(
        default=(), description="Replacements `path=value`, e.g. `controls.random=19`."
    )
    model: str | None = Field(
        default=None, description="Another model: a name, a Hugging Face id or a folder inside."
    )

    @property
    def replaced(self) -> Replacements:
        """As `tracer run` takes them."""
        return Replacements(model=self.model, set=self.set)


@dataclass(frozen=True)
class Workplace:
    """What the tools of one server share."""

    folders: Folders
    measuring: Measuring
    """Where runs are kept, and the model that was opened last."""

    def read(self, file: str, replaced: Replacements) -> HypothesisFile:
        """A hypothesis file from inside, about a model that may be used.

        Raises:
            UsageError: It is outside, or its model or dictionary is a folder outside.
            HypothesisError: Everything that is wrong with it.
        """
        found = read(str(self.folders.inside(file)), replaced.overrides())
        self.folders.require_allowed(found.hypothesis.model_spec.name, found.hypothesis.features)
        return found

    def allowed(self, file: str, replaced: Replacements) -> Path:
        """A file from inside, whatever mistakes are in it, about a model that may be used.

        Raises:
            UsageError: It is outside, or its model or dictionary is a folder outside.
        """
        with suppress(HypothesisError):
            self.read(file, replaced)
        return Path(file)

    def opened(self, spec: ModelSpec, features: str, progress: Progress) -> Opened:
        """A model with its features, the same as before where it is asked for again.

        Raises:
            UsageError: One is a folder outside.
            ModelUnavailable: One cannot be had here.
        """
        self.folders.require_allowed(spec.name, features)
        with progress.task("importing PyTorch and TransformerLens"):
            open_both = engine.session.open_both
        return self.measuring.last.get(
            (spec, features), lambda: open_both(spec, features, progress)
        )


class ToolAnswer(NamedTuple):
    """What a tool gives back."""

    document: BaseModel
    """For programs: that of the command's `--json`."""
    words: str
    """For people and models: what the command prints."""
    links: tuple[ResourceLink, ...] = ()
    is_error: bool = False


@dataclass(frozen=True)
class McpTool:
    """One tool: its docstring is what a client reads of it."""

    name: str
    arguments: type[ToolArguments]
    document: type[BaseModel]
    call: Callable[[Any, Workplace, Progress], ToolAnswer]
    uses_model: bool = True
    """One such tool works at a time."""
    is_read_only: bool = True
    """Whether it leaves all files as they are."""


def printed(write: Callable[[Screen], None]) -> str:
    """What a command prints, without colours."""
    out = StringIO()
    write(Screen(out, width=_WIDTH))
    return out.getvalue().strip("\n")
