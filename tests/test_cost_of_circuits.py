"""What a circuit costs, against what its measuring runs."""

import pytest

from tests.test_measuring_circuits import bench_with
from tracer.engine.cost import PromptSize
from tracer.engine.measure.circuit_setup import prepare_circuit
from tracer.engine.measure.circuits import n_circuit_rows
from tracer.engine.plan import make_plan


def sizes_of(bench):
    return {
        name: PromptSize(len(run.ids), run.prompt.spans, run.prompt.ids)
        for name, run in bench.clean.items()
    }


def planned(bench):
    plan = make_plan(bench.hypothesis, sizes=sizes_of(bench))
    return plan, [rows for rows in plan.rows if rows.intervention == "circuit states"]


@pytest.mark.parametrize(
    "changes", [{}, {"groups": 0}, {"curve": False}, {"random": 0}, {"within": {"at": "city"}}]
)
def test_as_many_rows_are_planned_as_are_run(tiny, changes):
    bench = bench_with(tiny, **changes)
    _, rows = planned(bench)
    circuit = prepare_circuit(bench, "states")
    assert [each.prompt for each in rows] == ["dallas", "plano"]
    assert {each.total for each in rows} == {n_circuit_rows(circuit)}
    assert [each.start for each in rows] == [circuit.scope[p].start for p in ("dallas", "plano")]


def test_a_prompt_of_another_length_costs_nothing(tiny):
    texts = bench_with(tiny).hypothesis.prompts
    texts = {name: {"city": spec.variables["city"]} for name, spec in texts.items()}
    texts["long"] = {"city": "San Diego"}
    bench = bench_with(tiny, texts | {"plano": {"city": "Plano"}}, prompts=["dallas", "long"])
    plan, rows = planned(bench)
    assert [each.prompt for each in rows] == ["dallas"]
    without = make_plan(bench.hypothesis)
    assert [each.prompt for each in without.rows if each.start is None][-2:] == ["dallas", "long"]
    assert plan.backward == 2 + 2
