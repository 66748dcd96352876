import numpy as np
import pytest
from graphs import dense_influence, empty_graph, hand_graph, make_graph, random_graph, square

from tracer.record.graph import influence as influence_module
from tracer.record.graph.influence import flow, influence


def test_the_small_graph_by_hand():
    found = influence(hand_graph())
    c = 0.6 * 3 / 4 + 0.3 / 4
    b = 0.3 / 4 + c / 2
    assert found.features == pytest.approx([c / 4, b, c])
    assert found.errors == pytest.approx([0.6 / 4 + c / 4])
    assert found.tokens == pytest.approx([c / 4 + b / 4, b * 3 / 4 + 0.3 / 2])
    assert found.logits.tolist() == [0.6, 0.3]
    assert found.tokens.sum() + found.errors.sum() == pytest.approx(0.9)


@pytest.mark.parametrize("seed", range(20))
def test_one_pass_gives_what_powers_of_the_matrix_give(seed):
    graph = random_graph(seed, density=0.1 + 0.04 * seed)
    matrix, start = square(graph)
    dense = dense_influence(matrix, start)
    found = influence(graph)
    assert np.concatenate([found.sources, found.logits]) == pytest.approx(
        dense + start, rel=1e-5, abs=1e-9
    )
    assert found.targets.tolist() == [*found.features, *found.logits]


@pytest.mark.parametrize("cells", [1, 100, 700])
def test_the_size_of_blocks_changes_nothing(monkeypatch, cells):
    graph = random_graph(7)
    whole = influence(graph).sources
    monkeypatch.setattr(influence_module, "CELLS", cells)
    assert influence(graph).sources == pytest.approx(whole, rel=1e-5)


def test_a_matrix_kept_by_columns_gives_the_same():
    graph = random_graph(3)
    by_columns = flow(graph.nodes, np.asfortranarray(graph.edges)).influence
    assert by_columns.sources == pytest.approx(influence(graph).sources, rel=1e-5)


def test_without_features_tokens_take_all():
    found = influence(empty_graph())
    assert found.tokens.tolist() == [0.125, 0.375]
    assert found.features.size == found.errors.size == 0


@pytest.mark.parametrize("size", [0, 1e-38, 1e-45, 1e30])
def test_edges_of_any_size_give_numbers(size):
    graph = hand_graph()
    found = influence(make_graph(graph.nodes, graph.edges * np.float32(size)))
    assert np.isfinite(found.sources).all()
    assert found.sources.any() == (size == 1e30)
