"""The request for a consensus of attribution graphs, made before a model is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tracer.engine.graph_request import GraphRequest
from tracer.errors import UsageError, prompts_named
from tracer.hypothesis.clamps import Toward
from tracer.hypothesis.load import HypothesisFile
from tracer.record.graph.consensus import CORE


@dataclass(frozen=True)
class ConsensusRequest:
    """The prompts of a file whose graphs are counted, and what of them is kept."""

    graph: GraphRequest
    file: HypothesisFile
    """That of the graphs."""
    core: float = CORE
    """Least share of the prompts that what is kept is on."""

    @property
    def explained(self) -> Toward:
        """What is explained on every prompt, where no tokens are named.

        What the file's graph section says, where all of the prompts are its own and the same can
        be said of each of them; else the prompt's answer.
        """
        section = self.graph.section
        if section is None or section.toward == "salient":
            return "answer"
        return section.toward if set(self.graph.names) <= set(section.prompts) else "answer"

    def wordings(self) -> Iterator[tuple[str | None, HypothesisFile]]:
        """The file as it is, and with each paraphrase that it declares in place of its template."""
        yield None, self.file
        robustness = self.file.hypothesis.robustness
        for name, template in (robustness.templates if robustness else {}).items():
            changed = self.file.hypothesis.model_copy(update={"template": template})
            yield name, replace(self.file, hypothesis=changed)

    def check(self) -> None:
        """Refuse what no model could answer.

        Raises:
            UsageError: As of any graph; or fewer than two prompts, a share that is none, or prompts
                of which nothing that they share is to be explained.
        """
        self.graph.check()
        path, names = self.file.path, self.graph.names
        if len(names) < 2:
            raise UsageError(
                f"{path}: a consensus is of two prompts at least, not of {len(names)}."
            )
        if not 0 < self.core <= 1:
            raise UsageError(
                f"--core {self.core:g}: a share of the prompts above 0, at most 1, is expected."
            )
        prompts = self.file.hypothesis.prompts
        without = [name for name in names if prompts[name].answer is None]
        if not self.graph.toward and self.explained == "answer" and without:
            raise UsageError(
                f"{path}: {prompts_named(without)}: without an answer, nothing is explained that "
                "all prompts have in common; give each its `answer`, or name tokens by --toward."
            )
