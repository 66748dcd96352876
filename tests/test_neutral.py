"""What the values of extreme clamps do to neutral text."""

import pytest
import torch

from tests.bench import TINY, make_bench
from tests.records import make_record
from tracer.engine.batches import batch_limit
from tracer.engine.measure.neutral import neutral_run, with_neutral
from tracer.engine.measure.prompts import measure_prompt
from tracer.engine.model.sites import Site
from tracer.engine.single_passes import single_passes
from tracer.evidence.caveats import caveats
from tracer.hypothesis.clamps import InterventionSpec
from tracer.hypothesis.neutral import TEXTS, is_extreme
from tracer.record.trials import InterventionRecord

PROMPT = TINY["interventions"]["swap"]["prompts"][0]


@pytest.fixture(scope="module")
def bench(tiny):
    swap = TINY["interventions"]["swap"] | {"clamp": {"texas": {"times": -3}}, "doses": None}
    nodes = {"texas": TINY["supernodes"]["texas"]}
    file = TINY | {"interventions": {"swap": swap}, "supernodes": nodes}
    return make_bench(tiny, hypothesis=file)


@pytest.mark.parametrize(
    ("clamp", "extreme"),
    [(0, False), (2, False), (2.5, True), (-1, True), ({"times": 9, "from": ["here"]}, True)],
)
def test_beyond_twice_or_below_nothing(clamp, extreme):
    assert is_extreme(InterventionSpec(prompts=("p",), clamp={"texas": clamp})) is extreme


def test_its_values_are_set_at_the_last_token_of_each_text(bench):
    clean = bench.clean[PROMPT]
    limit = batch_limit(bench.model, clean)
    found = measure_prompt(bench, PROMPT, limit, lambda n: None)
    trial = with_neutral(bench, PROMPT, found, limit).trials["swap"]
    assert len(trial.neutral_kl) == len(TEXTS)
    n_prompts = len(bench.hypothesis.interventions["swap"].prompts)
    assert single_passes(bench.hypothesis).neutral == len(TEXTS) * (n_prompts + 1)
    run = neutral_run(bench.model, bench.basis, TEXTS[0])
    texas = bench.supernodes["texas"]
    last = len(run.ids) - 1
    sources = [bench.clean[name] for name in texas.source]
    wanted = {
        (ref.layer, ref.index): -3
        * sum(
            float(s.activation(ref.layer, s.prompt.spans[texas.at][1] - 1 - ref.offset)[ref.index])
            for s in sources
        )
        / len(sources)
        for ref in texas.features
    }

    def hook(layer):
        def clamp(x):
            x = x.clone()
            for (at, index), value in wanted.items():
                if at == layer:
                    x[0, last, index] = value
            return x

        return clamp

    hooks = [(Site("mlp_hidden", n), hook(n)) for n in range(bench.basis.n_layers)]
    logits = bench.model.forward(run.ids, hooks)[0].double()
    before = torch.log_softmax(run.logits.double(), -1)
    kl = float((before.exp() * (before - torch.log_softmax(logits, -1))).sum())
    assert kl > 0
    assert trial.neutral_kl[0] == pytest.approx(kl, rel=1e-3)


def test_the_reader_is_told():
    record, _ = make_record()
    before = record.interventions["texas_to_california"]
    trials = {
        name: trial.model_copy(update={"neutral_kl": (0.5, 2.0, 3.0)})
        for name, trial in before.trials.items()
    }
    told = InterventionRecord(name="texas_to_california", trials=trials)
    record = record.model_copy(update={"interventions": {"texas_to_california": told}})
    assert any(
        "change the next token there by 2 nats" in c for c in caveats(record, record.hypothesis, ())
    )
