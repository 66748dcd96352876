"""The neuron basis: exact decomposition, read vectors, gradients."""

import torch

from tests.bench import ATOL
from tracer.model.model import Site


def test_writes_sum_to_the_mlp_output(bench):
    clean = bench.clean["dallas"]
    seen = {}
    for layer in range(bench.basis.n_layers):
        bench.model.clean(
            clean.ids, [(Site("mlp_out", layer), lambda x, n=layer: seen.__setitem__(n, x[0, 4]))]
        )
        index = torch.arange(bench.basis.n_features(layer))
        (write,) = bench.basis.writes(layer, index)
        assert write.site == Site("mlp_out", layer)
        summed = clean.activation(layer, 4) @ write.vectors
        torch.testing.assert_close(summed, seen[layer], atol=ATOL, rtol=0)


def test_read_vectors_give_the_activation_back(bench, tiny_gpt2_bench):
    for each in (bench, tiny_gpt2_bench):
        x = torch.randn(each.basis.writes(0, torch.tensor([0]))[0].vectors.shape[1])
        hidden = each.model.mlp_parts(1, x).hidden
        index = torch.tensor([0, 3, 5])
        e = each.basis.read_vectors(1, x, index)
        if each is bench:
            torch.testing.assert_close(e @ x, hidden[index], atol=ATOL, rtol=0)
        else:
            parts = each.model.mlp_parts(1, x)
            bias = parts.up - each.model.W_in(1) @ x
            constant = (hidden / parts.up * bias)[index]
            torch.testing.assert_close(e @ x + constant, hidden[index], atol=ATOL, rtol=0)


def test_encoding_single_features_equals_encoding_all(bench):
    x = torch.randn(2, 3, bench.basis.n_features(0))
    row, pos, index = torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([4, 1])
    one = bench.basis.encode_at(0, x, row, pos, index)
    torch.testing.assert_close(one, bench.basis.encode(0, x)[row, pos, index])


def test_gradient_is_the_write_vectors_dot_product(bench):
    at_write = torch.randn(bench.basis.writes(1, torch.tensor([0]))[0].vectors.shape[1])
    every = bench.basis.gradient(1, {Site("mlp_out", 1): at_write})
    (write,) = bench.basis.writes(1, torch.tensor([2]))
    torch.testing.assert_close(every[2], write.vectors[0] @ at_write, atol=ATOL, rtol=1e-5)
