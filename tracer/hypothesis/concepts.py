"""Prompts by the concept that each carries, from a table or from sets: what is proposed from.

Every concept has one answer, which a swap is to bring. Everything that can be wrong with prompts is
told here and by `tracer.hypothesis.tokens`, before a model is run.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tracer.errors import HypothesisError, KeyPath, Mistake, UsageError, listed, show, unknown
from tracer.hypothesis.clamps import RESERVED
from tracer.hypothesis.declared import is_name
from tracer.hypothesis.given import Table, declared, prompt_table
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.table import ValueTable, read_table
from tracer.hypothesis.template import TemplateMistake, variables
from tracer.hypothesis.yaml_text import Mark, read_text

LEAST_DISCOVERY = 2
"""Prompts of a concept that its features are found on; of one, they would be that prompt's own."""
MOST_DISCOVERY = 4
LEAST_HELD_OUT = 2
MOST_CONCEPTS = 12
"""Each is put in place of every other, and each has graphs of its own."""
WANTED_HELD_OUT = 5
"""Without so many, no claim about a concept is confirmed (`tracer.evidence.strength`)."""
LEAST_PURE = 0.75
"""Of a concept's prompts, how many have its answer; the few that have not are left out."""
_OF_A_PROMPT = ("answer", "text", "group")
"""Columns of a table that are kept beside the variables of the template."""


@dataclass(frozen=True)
class Concept:
    """One of the concepts that are put in place of each other."""

    name: str
    """As a supernode is called."""
    label: str
    """As the table, or the file's name, writes it."""
    answer: str | None
    """The token that it is to bring; None as long as no prompt declares one."""
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Concepts:
    """All prompts, and the concept that each carries."""

    path: str
    marks: Mapping[KeyPath, Mark]
    template: str | None
    prompts: Table
    """By name, with a text or values of the template's variables."""
    concepts: tuple[Concept, ...]
    by: str
    """What tells concepts apart: a column, or `set`."""

    @property
    def of(self) -> dict[str, Concept]:
        """The concept of each prompt."""
        return {name: concept for concept in self.concepts for name in concept.prompts}

    @property
    def groups(self) -> dict[str, str]:
        """The group of each prompt that declares one."""
        return {name: row["group"] for name, row in self.prompts.items() if "group" in row}

    @property
    def has_answers(self) -> bool:
        """Whether prompts declare what the model must say."""
        return all("answer" in row for row in self.prompts.values())

    @property
    def answers(self) -> dict[str, str]:
        """What each prompt declares."""
        return {name: str(row["answer"]) for name, row in self.prompts.items()}

    def file(self, model: ModelSpec, features: str) -> HypothesisFile:
        """A hypothesis that claims nothing yet: its prompts, checked.

        Raises:
            HypothesisError: Every mistake in them.
        """
        table = prompt_table(self.prompts, self.template)
        return declared(model, features, table, None, self.path, self.marks)


class Split(NamedTuple):
    """The prompts of one concept that the model answers, divided."""

    discovery: tuple[str, ...]
    held_out: tuple[str, ...]


def of_table(template: str | None, path: str, by: str | None) -> Concepts:
    """The rows of a table: one prompt each, with its `answer`.

    Args:
        template: Text with {variables}, or None where the table has a column `text`.
        path: See `tracer.hypothesis.table`.
        by: The column that tells concepts apart; None: the answer.

    Raises:
        HypothesisError: Every mistake in the table.
    """
    found = read_table(path)
    columns = list(dict.fromkeys(key for row in found.prompts.values() for key in row))
    by = by or "answer"
    wanted = _wanted_variables(template, columns, path)
    for column in ("answer", by):
        if column not in columns:
            raise _whole(path, unknown("column", column, columns))
    names = _names(found, wanted)
    kept = (*wanted, *_OF_A_PROMPT)
    rows = dict(zip(names, found.prompts.values(), strict=True))
    prompts = {name: {k: v for k, v in row.items() if k in kept} for name, row in rows.items()}
    marks: dict[KeyPath, Mark] = {
        ("prompts", new): found.marks["prompts", old]
        for new, old in zip(names, found.prompts, strict=True)
    }
    mistakes = [*_twice(prompts, marks)]
    concepts = _concepts({name: row[by] for name, row in rows.items()}, prompts)
    mistakes += _concept_mistakes(concepts, prompts, by)
    if mistakes:
        raise HypothesisError(path, mistakes)
    return Concepts(path, marks, template, prompts, concepts, by)


def of_sets(paths: Sequence[Path]) -> Concepts:
    """Contrasting sets of prompts, one file each: lines of text, or a table with a column `text`.

    The file's name is the concept's. Where no prompt declares an `answer`, the model's own most
    frequent one on the set is taken (`with_answers`).

    Raises:
        HypothesisError: Every mistake in a file.
        UsageError: Fewer than two files.
    """
    if len(paths) < 2:
        raise UsageError("--prompts is given twice or more: one file for each concept.")
    prompts: Table = {}
    labels: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for path in paths:
        if not (rows := _set_rows(path)):
            raise _whole(str(path), "there is no prompt in it")
        for number, row in enumerate(rows, 1):
            name = _free(f"{_name(path.stem)}_{number}", prompts)
            prompts[name], labels[name] = row, path.stem
    mistakes += _twice(prompts, {})
    concepts = _concepts(labels, prompts)
    of_all = {name for name, row in prompts.items() if "answer" in row}
    if of_all and len(of_all) < len(prompts):
        first = next(name for name in prompts if name not in of_all)
        mistakes.append(Mistake(None, None, first, "no answer, where other prompts have one"))
    elif of_all:
        mistakes += _concept_mistakes(concepts, prompts, "set")
    told = ", ".join(str(path) for path in paths)
    if mistakes:
        raise HypothesisError(told, mistakes)
    return Concepts(told, {}, None, prompts, concepts, "set")


def with_answers(found: Concepts, said: Mapping[str, str]) -> Concepts:
    """Of prompts that declare no answer: that of each concept is what the model says most often.

    Args:
        found: Of sets.
        said: The most probable token of each prompt, unclamped.

    Raises:
        HypothesisError: Two sets have the same answer, or a set has several.
    """
    each = {name: {**row, "answer": said[name]} for name, row in found.prompts.items()}
    concepts = _concepts({name: concept.label for name, concept in found.of.items()}, each)
    mistakes = list(_concept_mistakes(concepts, each, "set"))
    if mistakes:
        raise HypothesisError(found.path, mistakes)
    answers = {name: str(concept.answer) for concept in concepts for name in concept.prompts}
    prompts = {name: {**row, "answer": answers[name]} for name, row in each.items()}
    return Concepts(found.path, found.marks, found.template, prompts, concepts, found.by)


def split(concept: Concept, right: Iterable[str], groups: Mapping[str, str], seed: int) -> Split:
    """Divide a concept's prompts by a seed: two to four for discovery, the rest held out.

    Half of them are for discovery, but no more than four, nor so many that fewer than five are
    left, and two in any case. Prompts of one group are not divided.

    Args:
        concept: The concept.
        right: Prompts that the model answers as they declare, and as the concept does.
        groups: The group of each prompt that declares one.
        seed: Of the order that prompts are drawn in.
    """
    known = set(right)
    mine = [name for name in concept.prompts if name in known]
    together: dict[str, list[str]] = {}
    for name in mine:
        key = f"group {groups[name]}" if name in groups else f"prompt {name}"
        together.setdefault(key, []).append(name)
    drawn = list(together.values())
    random.Random(f"{seed}/{concept.name}").shuffle(drawn)  # noqa: S311 # no secret
    spare = min(len(mine) // 2, len(mine) - WANTED_HELD_OUT)
    n = max(LEAST_DISCOVERY, min(MOST_DISCOVERY, spare))
    first: set[str] = set()
    for names in drawn:
        first.update(names if len(first) < n else ())
    return Split(
        tuple(name for name in mine if name in first),
        tuple(name for name in mine if name not in first),
    )


def prompts_of_others(by_concept: Mapping[str, Sequence[str]], concept: str) -> tuple[str, ...]:
    """The prompts of all concepts but one."""
    return tuple(n for other, names in by_concept.items() if other != concept for n in names)


def concept_rules(
    by_concept: Mapping[str, Sequence[str]], at: str, layers: tuple[int, int], top: int
) -> dict[str, dict[str, Any]]:
    """The same selection rule for every concept: its prompts against those of all others.

    It never looks at the output.
    """
    return {
        concept: {
            "by": "activation",
            "on": list(names),
            "against": list(prompts_of_others(by_concept, concept)),
            "at": at,
            "layers": list(layers),
            "top": top,
        }
        for concept, names in by_concept.items()
    }


def is_enough(found: Split) -> bool:
    """Whether a concept has prompts to be found on, and others to be judged on."""
    return len(found.discovery) >= LEAST_DISCOVERY and len(found.held_out) >= LEAST_HELD_OUT


def _wanted_variables(template: str | None, columns: Sequence[str], path: str) -> tuple[str, ...]:
    if template is None:
        if "text" not in columns:
            raise _whole(path, "no template is given, and the table has no column `text`")
        return ()
    try:
        wanted = variables(template)
    except TemplateMistake as mistake:
        raise UsageError(f"the template: {mistake}.") from None
    if not wanted:
        raise UsageError("the template has no {variable}: every prompt would be the same.")
    for name in wanted:
        if name not in columns:
            raise _whole(path, unknown("column", name, columns))
        if name in RESERVED:
            raise _whole(path, f"the name {name!r} of a column is reserved; choose another")
    return wanted


def _set_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix.lower() in (".csv", ".tsv", ".jsonl", ".yaml", ".yml"):
        found = read_table(str(path))
        for name, row in found.prompts.items():
            if "text" not in row:
                line = found.marks["prompts", name].line
                raise HypothesisError(str(path), [Mistake(line, None, "", "there is no `text`")])
        keep = ("text", *_OF_A_PROMPT)
        return [{k: v for k, v in row.items() if k in keep} for row in found.prompts.values()]
    lines = read_text(str(path)).split("\n")
    return [prompt_table([line], None)["prompt_1"] for line in lines if line.strip()]


def _names(found: ValueTable, wanted: Sequence[str]) -> list[str]:
    """Prompts keep the names of the table; the others are called after their first value."""
    taken: list[str] = []
    for number, (name, row) in enumerate(found.prompts.items(), 1):
        is_own = name != f"row_{number}"
        written = name if is_own or not wanted else _name(row[wanted[0]])
        taken.append(_free(written, taken))
    return taken


def _name(text: str) -> str:
    """A text as a name: its Latin letters and digits, words joined by `_`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    joined = re.sub("[^a-z0-9]+", "_", plain).strip("_")[:40]
    joined = f"n_{joined}" if joined[:1].isdigit() else joined
    return joined if is_name(joined) and joined not in (*RESERVED, "output") else f"x_{joined}"


def _free(name: str, taken: Iterable[str]) -> str:
    known = set(taken)
    numbered = (f"{name}_{n}" for n in range(2, len(known) + 3))
    return name if name not in known else next(each for each in numbered if each not in known)


def _twice(prompts: Table, marks: Mapping[KeyPath, Mark]) -> Iterator[Mistake]:
    """Rows that make the same prompt."""
    first: dict[tuple[tuple[str, str], ...], str] = {}
    for name, row in prompts.items():
        said = tuple(sorted((k, v) for k, v in row.items() if k not in ("answer", "group")))
        before = first.setdefault(said, name)
        if before != name:
            mark = marks.get(("prompts", name))
            yield Mistake(mark and mark.line, None, name, f"the same prompt as {before}")


def _concepts(labels: Mapping[str, str], prompts: Table) -> tuple[Concept, ...]:
    """Concepts in the order of their first prompt; the answer of each is its most frequent one."""
    members: dict[str, list[str]] = {}
    for name, label in labels.items():
        members.setdefault(label, []).append(name)
    found: list[Concept] = []
    for label, names in members.items():
        answers = Counter(prompts[name]["answer"] for name in names if "answer" in prompts[name])
        answer = answers.most_common(1)[0][0] if answers else None
        name = _free(_name(label), (each.name for each in found))
        found.append(Concept(name, label.strip(), answer, tuple(names)))
    return tuple(found)


def _concept_mistakes(concepts: Sequence[Concept], prompts: Table, by: str) -> Iterator[Mistake]:
    """One concept alone, concepts without an answer of their own, or with that of another."""
    if len(concepts) < 2:
        message = f"every prompt has the same {by}, {show(concepts[0].label)}; a claim needs two"
        yield Mistake(None, None, "", message)
        return
    least = LEAST_DISCOVERY + LEAST_HELD_OUT
    if sum(len(concept.prompts) >= least for concept in concepts) < 2:
        most = max(concepts, key=lambda concept: len(concept.prompts))
        message = (
            f"two concepts or more need {least} prompts each, {LEAST_DISCOVERY} to find features "
            f"on and {LEAST_HELD_OUT} to judge by; the most that one has is {len(most.prompts)}, "
            f"{by} {show(most.label)}"
        )
        yield Mistake(None, None, "", message)
    owner: dict[str, str] = {}
    for concept in concepts:
        answers = Counter(str(prompts[name]["answer"]) for name in concept.prompts)
        if answers[str(concept.answer)] < LEAST_PURE * len(concept.prompts):
            several = listed(answers)
            message = (
                f"{by} {show(concept.label)}: {several} are its answers, and none is that of three "
                "quarters of its prompts; a swap is to bring one answer of each"
            )
            yield Mistake(None, None, "", message)
        elif owner.setdefault(str(concept.answer), concept.label) != concept.label:
            message = (
                f"{by} {show(concept.label)}: its answer {show(concept.answer)} is also that of "
                f"{show(owner[str(concept.answer)])}, so a swap of the two would change nothing"
            )
            yield Mistake(None, None, "", message)


def _whole(path: str, message: str) -> HypothesisError:
    return HypothesisError(path, [Mistake(None, None, "", message)])
