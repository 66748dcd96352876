"""Readings recomputed with a plain softmax."""

from dataclasses import replace

import pytest
import torch

from tracer.engine.clean import Wanted, activation, clean_run, clean_runs, control_readings, reading
from tracer.engine.whole_prompts import batched_by_length, run_together


class Words:
    def decode(self, ids, *, clean_up_tokenization_spaces):
        return "".join(f"<{each}>" for each in ids)


def test_a_reading_is_softmax_rank_and_the_ten_best():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(1))
    found = reading(logits, {"a": 7, **{str(n): n for n in range(50)}}, Words())
    probabilities = logits.softmax(0)
    order = probabilities.argsort(descending=True).tolist()
    assert [t.id for t in found.top] == order[:10]
    assert [t.rank for t in found.top] == list(range(1, 11))
    assert found.tokens["a"].probability == pytest.approx(float(probabilities[7]), rel=1e-5)
    assert found.tokens["a"].rank == order.index(7) + 1
    assert [found.tokens[str(n)].rank - 1 for n in order] == list(range(50))
    assert found.top[0].token == f"<{order[0]}>"


def test_ties_go_to_the_lower_id():
    logits = torch.zeros(20)
    logits[15] = 1.0
    found = reading(logits, {"x": 3}, Words())
    assert [t.id for t in found.top] == [15, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert found.tokens["x"].rank == 5


def test_control_readings():
    logits = torch.randn(3, 30)
    kept = control_readings(logits, [4, 9])
    torch.testing.assert_close(kept.logits, logits[:, [4, 9]])
    torch.testing.assert_close(kept.logsumexp, logits.exp().sum(-1).log())
    assert kept.top.tolist() == logits.argmax(-1).tolist()


def test_an_activation_fraction():
    clean, source = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])
    assert activation(torch.tensor([2.0, 0.0]), clean, source).of_clean == 1
    assert activation(-2 * clean, clean, source).of_clean == -2
    assert activation(torch.tensor([1.0, 5.0]), clean, source).of_source == 3
    assert activation(clean, torch.zeros(2), None).of_clean is None
    assert activation(clean, clean, None).of_source is None


def test_the_mean_of_the_features_own_shares():
    clean, source = torch.tensor([2.0, 4.0, 0.0]), torch.tensor([1.0, 0.0, 4.0])
    found = activation(torch.tensor([1.0, 6.0, 9.0]), clean, source)
    assert found.mean_of_clean == (1 / 2 + 6 / 4) / 2
    assert found.mean_of_source == (1 + 9 / 4) / 2
    assert found.of_clean == (1 * 2 + 6 * 4) / (2**2 + 4**2)
    assert activation(clean, torch.zeros(3), None).mean_of_clean is None
    assert activation(clean, clean, None).mean_of_source is None


def test_prompts_that_share_a_pass_come_out_as_each_does_alone(bench):
    prompt = bench.clean["dallas"].prompt
    more = [replace(prompt, ids=(prompt.ids[0], n, *prompt.ids[2:])) for n in range(300, 304)]
    kept = [(1, 3), (), (0, 1, 2, 3, 4, 5), (5,)]
    wanted = [Wanted(*each) for each in zip(more, kept, strict=True)]
    for each, found in zip(wanted, clean_runs(bench.model, bench.basis, wanted), strict=True):
        alone = clean_run(bench.model, bench.basis, *each)
        assert (found.prompt, found.positions) == (alone.prompt, alone.positions)
        torch.testing.assert_close(found.logits, alone.logits)
        for mine, theirs in (
            (found.activations, alone.activations),
            (found.output_norms, alone.output_norms),
            (dict(enumerate(found.prefix.keys)), dict(enumerate(alone.prefix.keys))),
        ):
            assert mine.keys() == theirs.keys()
            for layer, x in mine.items():
                torch.testing.assert_close(x, theirs[layer])


def test_a_pass_that_memory_does_not_hold_is_halved():
    asked = []

    def run(numbers):
        asked.append(list(numbers))
        if len(numbers) > 2:
            raise RuntimeError("CUDA error: out of memory")
        return [10 * n for n in numbers]

    assert list(run_together([[0], [0], [0, 0], [0]], run)) == [
        ([0, 1, 3], [0, 10, 30]),
        ([2], [20]),
    ]
    assert asked == [[0, 1, 3], [0], [1, 3], [2]]


def test_a_pass_takes_prompts_of_one_length_and_not_too_many():
    prompts = [[0] * length for length in (3, 5, 3, 600, 3, 600, *[2] * 9)]
    found = list(batched_by_length(prompts))
    assert found == [[0, 2, 4], [1], [3], [5], [6, 7, 8, 9, 10, 11, 12, 13], [14]]
