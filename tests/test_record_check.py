"""A record that leads nowhere is a sentence, whatever was done to it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards import put_run
from tests.graph_runs import large_graph, put_graph_run
from tests.nested import GONE, put
from tests.records import make_record
from tracer.errors import TracerError, UsageError
from tracer.record.check import contradictions
from tracer.record.files import RECORD
from tracer.record.record import Record
from tracer.record.run_folder import VERDICT, read_record
from tracer.report.render import render
from tracer.report.run import Run
from tracer.report.run_graphs import read_graphs

TRIAL = "interventions.ablate_texas.trials.plano"


def plain(record: Record) -> dict[str, Any]:
    return record.model_dump(mode="json", by_alias=True)


def test_a_sound_record_has_none(tmp_path):
    assert list(contradictions(make_record()[0])) == []
    read_record(put_graph_run(tmp_path, large_graph(30)))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("prompts.plano", GONE, "prompts: 'plano' is missing"),
        ("supernodes.texas", GONE, "supernodes: 'texas' is missing"),
        ("hypothesis.supernodes.texas", GONE, "no supernode 'texas'"),
        ("hypothesis.prompts.plano", GONE, "no prompt 'plano'"),
        ("hypothesis.interventions.ablate_texas", GONE, "'ablate_texas' is not declared"),
        ("hypothesis.interventions.ablate_texas.expect.0.top_is_not", "{x}", "no value"),
        ("prompts.plano.name", "dallas", "it is called 'dallas' inside"),
        ("prompts.plano.tokens", [], "0 tokens and"),
        ("prompts.plano.token_ids", [1], "and 1 token ids"),
        ("prompts.plano.spans.city", [3, 3], "the span 'city' is not within"),
        ("prompts.plano.spans.last", [-1, 2], "the span 'last' is not within"),
        ("prompts.plano.baseline.top", [], "prompts.plano: baseline: no output is recorded"),
        ("supernodes.texas.source", ["<b>"], "no prompt '<b>'"),
        ("supernodes.texas.features.0.layer", 10**30, "layer 1e+30 is not among the 18"),
        ("supernodes.texas.features.0.position", -1, "offset and position"),
        (f"{TRIAL}.prompt", "dallas", "it is called 'dallas' inside"),
        (f"{TRIAL}.clamps.0.supernode", "nobody", "no supernode 'nobody'"),
        (f"{TRIAL}.clamps.0.source", ["nowhere"], "no prompt 'nowhere'"),
        (f"{TRIAL}.clamps.0.positions", [99], "position 99 is not among the"),
        (f"{TRIAL}.supernodes", {"nobody": {"of_clean": 1, "of_source": 1}}, "'nobody'"),
        (f"{TRIAL}.reading.top", [], "reading: no output is recorded"),
        (f"{TRIAL}.reading.tokens", {}, "reading: ' Austin' was not read"),
        (f"{TRIAL}.n_controls", -1, "-1 controls"),
    ],
)
def test_what_leads_nowhere_is_told_with_its_place(path, value, sentence):
    record = Record.model_validate(put(plain(make_record()[0]), path, value))
    assert any(sentence in found for found in contradictions(record))


def test_a_run_that_leads_nowhere_is_one_sentence(tmp_path):
    folder = put_run(tmp_path)
    data = json.loads((folder / RECORD).read_text())
    for name in ("dallas", "plano", "el_paso", "lubbock"):
        data = put(data, f"prompts.{name}.tokens", [])
    (folder / RECORD).write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"run\.json: what it says does not go together: .*; and"):
        read_record(folder)


def leaves(data: Any, way: tuple[str, ...] = ()) -> Iterator[str]:
    if way:
        yield ".".join(way)
    if isinstance(data, dict | list):
        for key, inner in data.items() if isinstance(data, dict) else enumerate(data):
            if "." not in str(key):
                yield from leaves(inner, (*way, str(key)))


def test_whatever_stands_in_a_record_it_is_read_or_refused(tmp_path: Path):
    """Twenty of all places, each with another value: the report is drawn, or a sentence said."""
    folder = put_graph_run(tmp_path, large_graph(20))
    whole = json.loads((folder / RECORD).read_text())
    draw = random.Random(7)
    values = [None, [], {}, 1e308, -1, 10**30, "x", "NaN", True, GONE]
    for path in draw.sample(list(leaves(whole)), 20):
        (folder / RECORD).write_text(json.dumps(put(whole, path, draw.choice(values))))
        (folder / VERDICT).unlink(missing_ok=True)
        try:
            run = Run.open(folder)
        except TracerError as error:
            assert "Traceback" not in str(error)
            continue
        render(run.record, run.verdict, run.arrays, read_graphs(run.path, run.record))
