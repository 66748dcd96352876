"""A tiny model opened for measuring, and the same clamps done by hand in plain PyTorch."""

import torch

from tracer.engine.clean import clean_run
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.engine.resolve import MeasurementContext
from tracer.engine.supernodes import RuleScores, select
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis, ModelSpec
from tracer.hypothesis.tokens import tokenize

ATOL = 1e-5
"""fp32 on CPU: sums of a few hundred products in another order."""

TINY = {
    "hypothesis": "tiny",
    "claim": "a clamp changes the output",
    "expected": "consistent",
    "template": "the capital of {city} is",
    "prompts": {
        "dallas": {"city": "Dallas"},
        "oakland": {"city": "Oakland"},
        "plano": {"city": "Plano", "held_out": True},
    },
    "supernodes": {
        "texas": {
            "select": {
                "on": ["dallas"],
                "against": ["oakland"],
                "at": "city",
                "toward": {"token": " Austin"},
                "top": 4,
            }
        },
        "california": {
            "select": {
                "on": ["oakland"],
                "against": ["dallas"],
                "at": "city",
                "toward": {"logit_diff": [" Sacramento", " Austin"]},
                "top": 4,
            }
        },
    },
    "interventions": {
        "swap": {
            "prompts": ["dallas", "plano"],
            "clamp": {"texas": 0, "california": 1.5},
            "expect": [{"logit_diff": [" Sacramento", " Austin"], "beats_controls": 0.2}],
            "doses": {
                "of": "california",
                "factors": [0, 1, 2, 3],
                "expect": [{"rises": " Sacramento"}],
            },
        }
    },
    "controls": {"random": 9},
}


def make_bench(folder, dtype="float32", hypothesis=TINY):
    """Everything a measurement needs, on a model saved in `folder`."""
    spec = ModelSpec(name=str(folder), dtype=dtype, device="cpu")
    weights = open_weights(spec, Silent())
    model = Model(weights)
    basis = NeuronBasis(model)
    parsed = Hypothesis.model_validate(hypothesis)
    prompts = tokenize(from_hypothesis(parsed), weights.tokenizer, model.context)
    clean = {
        name: clean_run(model, basis, prompt, range(len(prompt.ids)))
        for name, prompt in prompts.items()
    }
    scores = RuleScores(model, basis, clean, parsed.prompts)
    supernodes = {name: select(name, each, scores) for name, each in parsed.supernodes.items()}
    return MeasurementContext(parsed, model, basis, clean, supernodes)


def logits_by_hand(bench, prompt, values, read=None):
    """Last logits of a full pass with hidden units set by pre-hooks on the down projections.

    With `read`, the value that hidden unit has before it is set.
    """
    blocks = bench.model._bridge.original_model.model.layers
    seen = []

    def setter(layer):
        def hook(module, args):
            hidden = args[0].clone()
            if read is not None and read[0] == layer:
                seen.append(float(hidden[0, read[1], read[2]]))
            for (at, pos, index), value in values.items():
                if at == layer:
                    hidden[0, pos, index] = value
            return (hidden, *args[1:])

        return hook

    handles = [
        block.mlp.down_proj.register_forward_pre_hook(setter(layer))
        for layer, block in enumerate(blocks)
    ]
    with torch.no_grad():
        logits = bench.model._bridge.original_model(bench.clean[prompt].ids[None]).logits[0, -1]
    for handle in handles:
        handle.remove()
    return seen[0] if read is not None else logits
