"""The neuron basis: exact decomposition, read vectors, gradients."""

import torch

from tests.bench import ATOL
from tracer.engine.model.sites import Site


def test_writes_sum_to_the_mlp_output(bench):
    clean = bench.clean["dallas"]
    seen = {}
    for layer in range(bench.basis.n_layers):
        site = bench.basis.output_site(layer)
        assert site == Site("mlp_out", layer)
        assert list(bench.basis.write_layers(layer)) == [layer]
        bench.model.clean(
            clean.ids[None], [(site, lambda x, n=layer: seen.__setitem__(n, x[0, 4]))]
        )
        index = torch.arange(bench.basis.n_features(layer))
        summed = clean.activation(layer, 4) @ bench.basis.W_dec(layer, index, layer)
        torch.testing.assert_close(summed, seen[layer], atol=ATOL, rtol=0)


def test_read_vectors_and_constants_give_the_activation_back(bench, tiny_gpt2_bench):
    for each in (bench, tiny_gpt2_bench):
        x = torch.randn(3, 32)
        hidden = each.model.mlp_parts(1, x).hidden
        pos, index = torch.tensor([0, 2, 1]), torch.tensor([0, 3, 5])
        e, constants = each.basis.readers(1, x, pos, index, hidden[pos, index])
        found = (e * x[pos]).sum(1) + constants
        torch.testing.assert_close(found, hidden[pos, index], atol=ATOL, rtol=0)
        assert (constants != 0).any() == (each is tiny_gpt2_bench)


def test_pulling_back_is_the_sum_over_read_vectors(bench, tiny_gpt2_bench):
    for each in (bench, tiny_gpt2_bench):
        x, index = torch.randn(3, 32), torch.tensor([1, 4])
        gradient = torch.randn(3, 2, 2)
        found = each.basis.pull_back(0, x, gradient, index)
        hidden = each.model.mlp_parts(0, x).hidden
        for pos in range(3):
            at = torch.full((2,), pos)
            e = each.basis.readers(0, x, at, index, hidden[at, index]).vectors
            torch.testing.assert_close(found[pos], gradient[pos] @ e, atol=ATOL, rtol=1e-5)


def test_encoding_single_features_equals_encoding_all(bench):
    x = torch.randn(2, 3, bench.basis.n_features(0))
    row, pos, index = torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([4, 1])
    one = bench.basis.encode_at(0, x, row, pos, index)
    torch.testing.assert_close(one, bench.basis.encode(0, x)[row, pos, index])


def test_gradient_is_the_write_vectors_dot_product(bench):
    at_output, index = torch.randn(32), torch.tensor([2])
    found = bench.basis.gradient(1, {1: at_output}, index)
    wanted = bench.basis.W_dec(1, index, 1)[0] @ at_output
    torch.testing.assert_close(found[0], wanted, atol=ATOL, rtol=1e-5)
