"""Whether the parts of a record fit each other: each name is declared, each position exists.

`Record` validates each part by itself. Readers go from a trial to its prompt and from a clamp to
its supernode and tokens; in a record that was edited, or that another program wrote, these may be
missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from tracer.errors import dotted, show, unknown
from tracer.hypothesis.check import meaning_problems
from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.partial import parts_of
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.circuit import CircuitSpec
from tracer.hypothesis.studies.shared import SharedSpec
from tracer.record.record import PromptRecord, Record, SupernodeRecord, index_of
from tracer.record.trials import CircuitRecord, GraphRecord, Reading, SharedRecord, Trial

_LARGEST = 2**31
"""No index or position is as large."""
Found = Iterator[str]
"""Sentences, each with its place and without a full stop."""


def contradictions(record: Record) -> Found:
    """What cannot be; nothing where the record is sound."""
    unsound = list(_hypothesis(record.hypothesis)) or list(_sections(record))
    if unsound:  # the other checks presuppose these sections
        yield from unsound
        return
    for name, prompt in record.prompts.items():
        yield from _at(f"prompts.{name}", _prompt(name, prompt))
    for name, node in record.supernodes.items():
        yield from _at(f"supernodes.{name}", _supernode(record, name, node))
    for name, made in record.interventions.items():
        yield from _at(f"interventions.{name}", _name(name, made.name))
        for prompt, trial in made.trials.items():
            yield from _at(f"interventions.{name}.trials.{prompt}", _trial(record, prompt, trial))
    for name, graph in record.graphs.items():
        yield from _at(f"graphs.{name}", _graph(record, graph))
    for name, circuit in record.circuit.items():
        yield from _at(f"circuit.{name}", _circuit(record, circuit))
    for name, shared in record.shared.items():
        yield from _at(f"shared.{name}", _shared(record, name, shared))


def _at(place: str, sentences: Iterable[str]) -> Found:
    return (f"{place}: {sentence}" for sentence in sentences)


def _hypothesis(declared: Hypothesis) -> Found:
    """The rules of a file; of a variation's, parts may be left that nobody uses."""
    for path, message in meaning_problems(parts_of(declared)):
        yield f"hypothesis.{dotted(path)}: {message.removesuffix('.')}"


def _sections(record: Record) -> Found:
    """All that is observed is declared; all declared prompts and supernodes are observed."""
    declared = record.hypothesis
    sections: tuple[tuple[str, Mapping[str, object], Mapping[str, object]], ...] = (
        ("prompts", record.prompts, declared.prompts),
        ("supernodes", record.supernodes, declared.supernodes),
        ("interventions", record.interventions, all_interventions(declared)),
        ("circuit", record.circuit, declared.studies_of(CircuitSpec)),
        ("shared", record.shared, declared.studies_of(SharedSpec)),
        ("graphs", record.graphs, declared.prompts),
    )
    for section, found, known in sections:
        more = [name for name in found if name not in known]
        yield from (f"{section}: {show(name)} is not declared" for name in more)
    for section, found, known in sections[:2]:
        yield from (f"{section}: {show(name)} is missing" for name in known if name not in found)


def _name(key: str, name: str) -> Found:
    if name != key:
        yield f"it is called {show(name)} inside"


def _unknown(kind: str, names: Iterable[str], known: Collection[str]) -> Found:
    return (
        unknown(kind, name, known).removesuffix(".")
        for name in dict.fromkeys(names)
        if name not in known
    )


def _beyond(what: str, numbers: Iterable[int], end: int) -> Found:
    """The first number that is not from 0 to `end`, which is excluded."""
    wrong = [number for number in numbers if not 0 <= number < end]
    if wrong:
        yield f"{what} {wrong[0]:.6g} is not among the {end:.6g}, counted from 0"


def _prompt(name: str, prompt: PromptRecord) -> Found:
    yield from _name(name, prompt.name)
    n = len(prompt.tokens)
    if n != len(prompt.token_ids) or n == 0:
        yield f"{n} tokens and {len(prompt.token_ids)} token ids"
    for span, (start, end) in prompt.spans.items():
        if not 0 <= start < end <= n:
            yield f"the span {show(span)} is not within its {n} tokens"
    yield from _outputs({"baseline": prompt.baseline})
    if prompt.answer is not None and prompt.answer not in prompt.baseline.tokens:
        yield f"the answer {show(prompt.answer)} was not read"


def _outputs(readings: Mapping[str, Reading]) -> Found:
    return (f"{name}: no output is recorded" for name, each in readings.items() if not each.top)


def _supernode(record: Record, name: str, node: SupernodeRecord) -> Found:
    yield from _name(name, node.name)
    yield from _unknown("prompt", node.source, record.prompts)
    yield from _beyond("layer", (each.layer for each in node.members), record.model.n_layers)
    if node.features and node.heads:
        yield "it has features and heads"
    if len({each.d_head for each in node.heads}) > 1:
        yield "its heads have activations of different lengths"
    for each in node.members:
        numbers = (index_of(each), each.offset, each.position or 0)
        if not 0 <= min(numbers) <= max(numbers) < _LARGEST:
            told = ", ".join(f"{number:.6g}" for number in numbers)
            yield f"a {node.unit} has the index, offset and position {told}"


def _trial(record: Record, name: str, trial: Trial) -> Found:
    yield from _name(name, trial.prompt)
    if name not in record.prompts:
        yield from _unknown("prompt", [name], record.prompts)
        return
    n_tokens = len(record.prompts[name].tokens)
    for clamp in trial.clamps:
        yield from _unknown("supernode", [clamp.supernode], record.supernodes)
        yield from _unknown("prompt", clamp.source, record.prompts)
        yield from _beyond("position", clamp.positions, n_tokens)
    yield from _unknown("supernode", trial.supernodes, record.supernodes)
    doses = {f"doses.{n}.reading": dose.reading for n, dose in enumerate(trial.doses)}
    readings = {"reading": trial.reading, **doses}
    yield from _outputs(readings)
    asked = record.prompts[name].baseline.tokens.keys()
    for place, each in readings.items():
        yield from (f"{place}: {show(token)} was not read" for token in asked - each.tokens.keys())
    if trial.generated and len(trial.generated.clean) != len(trial.generated.clamped):
        yield "generated: not as many clean texts as clamped ones"
    if trial.n_controls < 0:
        yield f"{trial.n_controls:.6g} controls"


def _graph(record: Record, graph: GraphRecord) -> Found:
    ends = [end for edge in graph.edges for end in (edge.source, edge.target)]
    named = (name for name in (*graph.members, *ends) if name != OUTPUT)
    yield from _unknown("supernode", named, record.supernodes)
    of_features = (each.prompt for said in graph.features.values() for each in said.fires)
    yield from _unknown("prompt", of_features, record.prompts)


def _circuit(record: Record, circuit: CircuitRecord) -> Found:
    for prompt, trial in circuit.trials.items():
        yield from _name(prompt, trial.prompt)
    yield from _unknown("prompt", circuit.trials, record.prompts)


def _shared(record: Record, name: str, shared: SharedRecord) -> Found:
    n_languages = min(map(len, record.hypothesis.studies_of(SharedSpec)[name].translations))
    yield from _beyond("language", (n for pair in shared.pairs for n in pair), n_languages)
    if not shared.pairs:
        yield "it has no pair of languages"
    if len(shared.n_active) != shared.n_layers:
        yield f"n_active: {len(shared.n_active)} numbers, for {shared.n_layers:.6g} layers"
