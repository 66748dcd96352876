from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench import make_bench
from tests.records import HYPOTHESIS
from tracer.engine.batches import batch_limit
from tracer.engine.cost import MAX_ROWS, ModelSize, PromptSize
from tracer.engine.graph_cost import PRUNED, graphs_flops
from tracer.engine.plan import BYTES_PER_SECOND, FLOPS_PER_CORE, make_plan
from tracer.hypothesis.spec import Hypothesis

CONFIG: dict[str, Any] = {
    "num_hidden_layers": 18,
    "hidden_size": 640,
    "vocab_size": 262144,
    "intermediate_size": 2048,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 256,
}
GEMMA = ModelSize.from_config(CONFIG)
SIZES = {
    name: PromptSize(10, {"city": (7, 9), "last": (9, 10)})
    for name in ("dallas", "oakland", "plano", "el_paso", "lubbock")
}


def hypothesis(**replaced: Any) -> Hypothesis:
    return Hypothesis.model_validate({**HYPOTHESIS, **replaced})


def test_counts_that_need_no_tokenizer():
    plan = make_plan(hypothesis())
    assert (plan.prompts, plan.backward) == (5, 3)
    assert [rows.total for rows in plan.rows] == [1] * 4 + [105] * 4
    assert plan.n_rows == 424
    assert (plan.tokens, plan.batches, plan.bytes, plan.seconds) == (None, None, None, None)


def test_tokens_start_at_the_first_clamped_position():
    plan = make_plan(hypothesis(), sizes=SIZES)
    assert {rows.start for rows in plan.rows} == {8}
    assert plan.tokens == 424 * 2
    assert plan.tokens_full == 424 * 10
    assert plan.batches is None


@pytest.mark.parametrize(
    ("supernode", "clamp", "start"),
    [
        ({"select": {"on": ["dallas"], "at": "city", "tokens": "all"}}, 0, 7),
        ({"select": {"on": ["dallas"], "at": "city"}}, 0, 8),
        ({"select": {"on": ["dallas"]}}, {"at": "city"}, 8),
        ({"features": ["3_17"]}, 0, 9),
        ({"features": ["3_17_4", "5_1_6"]}, 0, 4),
    ],
)
def test_first_position(supernode: dict[str, Any], clamp: Any, start: int):
    declared = hypothesis(
        supernodes={"texas": supernode},
        interventions={"off": {"prompts": ["dallas"], "clamp": {"texas": clamp}}},
    )
    assert [rows.start for rows in make_plan(declared, sizes=SIZES).rows] == [start]


def test_weights_of_the_embedded_model():
    assert GEMMA is not None
    assert GEMMA.n_weights == pytest.approx(100e6, rel=0.01)
    assert GEMMA.n_embedding == 640 * 262144


def test_a_config_with_other_names_says_nothing():
    assert ModelSize.from_config({"n_embd": 768}) is None
    nested = ModelSize.from_config({"text_config": CONFIG, "vocab_size": 1})
    assert nested == GEMMA


def test_everything_with_a_model():
    plan = make_plan(hypothesis(), sizes=SIZES, model=GEMMA, cores=2)
    assert GEMMA is not None and plan.batches is not None and plan.bytes is not None
    limit = GEMMA.rows_per_batch(10)
    assert 1 < limit <= MAX_ROWS
    assert plan.batches == sum(-(-rows // limit) for rows in [1] * 4 + [105] * 4)
    assert 1.0e9 < plan.bytes < 3 * 2**30
    assert plan.seconds is not None and 7 < plan.seconds < 120
    on_gpu = hypothesis(model={"name": "gemma-3-270m", "device": "cuda"})
    faster = make_plan(on_gpu, sizes=SIZES, model=GEMMA, cores=2)
    assert faster.seconds is not None and faster.seconds < plan.seconds


def test_graphs_are_counted_and_take_time():
    graph = {"prompts": ["dallas", "plano"], "max_features": 4096}
    without = make_plan(hypothesis(), sizes=SIZES, model=GEMMA, cores=2)
    plan = make_plan(hypothesis(graph=graph), sizes=SIZES, model=GEMMA, cores=2)
    assert (without.graphs, plan.graphs) == (0, 2)
    assert plan.seconds is not None and without.seconds is not None
    assert plan.seconds > without.seconds
    headed = make_plan(hypothesis(graph=graph | {"heads": 1000}), sizes=SIZES, model=GEMMA, cores=2)
    assert headed.seconds is not None and headed.seconds > plan.seconds


def test_what_is_claimed_of_heads_takes_time():
    """Rows × layers × positions, each as one pass through a layer's attention at one position."""
    heads = {"movers": {"select": HYPOTHESIS["supernodes"]["texas"]["select"] | {"unit": "heads"}}}
    more = {"supernodes": HYPOTHESIS["supernodes"] | heads}
    graph = {"prompts": ["dallas"], "max_features": 500}
    edge, look = {"from": "texas", "to": "output"}, {"from": "last", "to": "city"}
    top = HYPOTHESIS["supernodes"]["texas"]["select"]["top"]

    def seconds(*expect: Any, **rest: Any) -> float:
        asked = graph | rest | {"expect": list(expect)}
        spec = hypothesis(graph=asked, **more)
        return graphs_flops(spec, {"dallas": 10}, GEMMA)

    through = GEMMA.n_attention * 18 * 10
    plain = seconds()
    one = {"carried": {"edge": edge, "heads": ["3.1", "4.2"], "share_above": 0.1}}
    again = {"carried": {"edge": edge, "heads": ["3.1", "4.2"], "share_above": 0.2}}
    assert seconds(one, again) - plain == pytest.approx((2 + 4 * 4 - 1) * through)
    found = {"carried": {"edge": edge, "heads": "movers", "beats_controls": 0.1}}
    assert seconds(found) - plain == pytest.approx((2 + 99) * through)
    why = {"because": look | {"head": "9.1", "key": "texas", "share_above": 0.1}}
    rows = 2 + min(500, 100 * top) / 4
    assert seconds(why) - plain == pytest.approx(GEMMA.flops(10) + rows * through * 9 / 18)
    # Of the features that a pruning leaves, half of the layers below and above, and positions.
    assert seconds(head_loadings=True) - plain == pytest.approx(PRUNED * 500 * through / 2)


def test_rows_per_batch_is_the_engines_own(tiny: Path):
    """The plan repeats a rule of the engine, which needs torch; the two must agree."""
    bench = make_bench(tiny)
    clean = bench.clean["dallas"]
    size = ModelSize.from_config(json.loads((tiny / "config.json").read_text()))
    assert size is not None
    assert size.rows_per_batch(len(clean.ids)) == batch_limit(bench.model, clean).rows


def test_texts_are_counted_and_take_time():
    """Each sample, and the unclamped one, passes the prompt once and then every token."""
    specs = {name: dict(spec) for name, spec in HYPOTHESIS["interventions"].items()}
    for spec in specs.values():
        spec["generate"] = {"tokens": 20, "temperature": 1.0, "samples": 3}
    before = make_plan(hypothesis(), sizes=SIZES, model=GEMMA)
    plan = make_plan(hypothesis(interventions=specs), sizes=SIZES, model=GEMMA)
    assert (before.texts, plan.texts) == (0, (2 + 1) * 4 * 3)
    one = (GEMMA.flops(10) + 20 * GEMMA.flops(1)) / FLOPS_PER_CORE
    weights = 4 * (GEMMA.n_weights + GEMMA.n_embedding) / BYTES_PER_SECOND
    assert plan.seconds - before.seconds == pytest.approx(36 * one + 4 * 21 * weights)
