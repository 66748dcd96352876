"""Readings recomputed with a plain softmax."""

import pytest
import torch

from tracer.engine.clean import activation, control_readings, reading


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
