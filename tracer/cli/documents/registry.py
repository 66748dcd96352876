"""Which document each command writes, and the JSON Schema of it."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from tracer.cli.documents.answers import AnswersToPrompts
from tracer.cli.documents.comparison import Comparison
from tracer.cli.documents.features import Features
from tracer.cli.documents.graphs import Graphs
from tracer.cli.documents.index import FoundFeatures, IndexFacts
from tracer.cli.documents.listing import Hypotheses, Runs, ShownRun
from tracer.cli.documents.plans import Plans
from tracer.cli.documents.proposal import Proposal
from tracer.cli.documents.results import Validation, Verdicts
from tracer.cli.documents.selftest import SelftestRates
from tracer.cli.documents.specificity import SpecificitySummary
from tracer.errors import UsageError, unknown
from tracer.evidence.consensus_comparison import ConsensusComparison
from tracer.record.evaluation import Evaluation

DOCUMENTS: dict[str, Any] = {
    "run": Verdicts,
    "validate": Validation,
    "plan": Plans,
    "specificity": SpecificitySummary,
    "ask": AnswersToPrompts,
    "propose": Proposal,
    "graph": Graphs,
    "features": Features,
    "features index": IndexFacts,
    "features search": FoundFeatures,
    "features evaluate": Evaluation,
    "list": Hypotheses | Runs,
    "show": ShownRun,
    "compare": Comparison | ConsensusComparison,
    "selftest": SelftestRates,
}
"""By command; of `list` the second is that of `--runs`, of `compare` that of consensus graphs."""


def document_schema(command: str) -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of what a command writes with `--json`.

    Raises:
        UsageError: There is no such command, or it writes none.
    """
    if command not in DOCUMENTS:
        raise UsageError(unknown("command with --json", command, DOCUMENTS))
    schema = TypeAdapter(DOCUMENTS[command]).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
