"""Why a head looks there: pairs of nodes against the scores that the model itself computes."""

import warnings

import numpy as np
import pytest
import torch

from tests.dictionaries import write_clt, write_gemma_scope_2
from tests.opened import ids_of
from tests.test_head_loadings import attributed_of
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.model.sites import Site
from tracer.engine.progress import Silent
from tracer.errors import UsageError
from tracer.hypothesis.heads import HeadName

REL = 1e-5
"""fp32, over the largest pair, and the largest score."""
HEADS = [HeadName(0, 1), HeadName(1, 0), HeadName(1, 3)]
LAST = 13
"""Position of the last token; the sliding layers of Gemma see 8."""


@pytest.fixture(scope="module", params=["neurons", "jumprelu", "clt"])
def case(request, each_model, tmp_path_factory):
    basis = NeuronBasis(each_model)
    if request.param != "neurons":
        folder = tmp_path_factory.mktemp("dictionary")
        write = {"jumprelu": write_gemma_scope_2, "clt": write_clt}[request.param]
        basis = open_basis(str(write(folder)), each_model, Silent()).basis
    taken = attributed_of(each_model, basis, ids_of(each_model), 40)
    return each_model, basis, taken


def read_scores(model, layer, hooks=()):
    """The model's own scores of a layer, [head, query, key], any soft cap undone."""
    seen = {}
    watch = (Site("attn_scores", layer), lambda x: seen.__setitem__("scores", x[0].double()))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.forward(ids_of(model), [*hooks, watch])
    cap = getattr(model._bridge.original_model.config, "attn_logit_softcapping", None)
    return seen["scores"] if cap is None else cap * torch.atanh(seen["scores"] / cap)


def all_pairs(found):
    every = torch.arange(len(found.query_marginals))
    return found.pairs(every, every)


def scale_of(pairs):
    return max(1.0, float(pairs.abs().max()))


@pytest.mark.parametrize("head", HEADS, ids=str)
@pytest.mark.parametrize("key", [0, 8, LAST])
def test_all_pairs_together_are_the_models_score(case, head, key):
    model, _, (_, nodes) = case
    if nodes.frozen.blocks[head.layer].pattern[head.head, LAST, key] == 0:
        pytest.skip("outside of the window")
    found = qk_attribution(model, nodes, head, LAST, key)
    wanted = float(read_scores(model, head.layer)[head.head, LAST, key])
    n = nodes.constant + 1
    pairs = all_pairs(found)
    assert pairs.shape == (n, n)
    total, scale = float(pairs.double().sum()), scale_of(pairs)
    assert abs(total - wanted) < 2 * REL * scale
    assert float(found.total) == pytest.approx(wanted, abs=2 * REL * scale)
    assert found.score == pytest.approx(wanted, abs=2 * REL * scale)


def test_differences_are_of_the_models_scores(case):
    model, _, (_, nodes) = case
    head = HeadName(1, 2)
    scores = read_scores(model, 1)[2, 12, :13]
    pattern = nodes.frozen.blocks[1].pattern[2, 12, :13].double()
    less = qk_attribution(model, nodes, head, 12, 9, 7)
    mean = qk_attribution(model, nodes, head, 12, 9, "mean")
    assert float(less.total) == pytest.approx(float(scores[9] - scores[7]), abs=1e-4)
    there = pattern > 0
    wanted = float(scores[9] - pattern[there] @ scores[there])
    assert float(mean.total) == pytest.approx(wanted, abs=1e-4)
    assert less.score == mean.score


def test_marginals_and_groups_are_sums_of_pairs(case):
    model, _, (_, nodes) = case
    found = qk_attribution(model, nodes, HeadName(1, 1), 10, 6)
    pairs = all_pairs(found).double()
    close = {"atol": REL * scale_of(pairs), "rtol": 0}
    np.testing.assert_allclose(found.query_marginals.double(), pairs.sum(1), **close)
    np.testing.assert_allclose(found.key_marginals.double(), pairs.sum(0), **close)
    few = torch.tensor([len(pairs) - 1, 0, 7]), torch.tensor([5, len(pairs) - 2])
    np.testing.assert_allclose(found.pairs(*few).double(), pairs[few[0]][:, few[1]], **close)
    some = torch.arange(len(pairs)) % 4 - 1
    rows = [[(some == i).nonzero()[:, 0] for i in range(3)]]
    rows.append([((some > 0) == j).nonzero()[:, 0] for j in (False, True)])
    groups = found.sums("query", rows[0]) @ found.sums("key", rows[1]).T
    wanted = [[pairs[some == i][:, (some > 0) == j].sum() for j in range(2)] for i in range(3)]
    np.testing.assert_allclose(groups.double(), wanted, **close)


def held(model, basis, upto):
    """Hooks that hold patterns, scales and outputs of the MLPs below a layer, one pass's worth."""
    kinds = ("ln1_scale", "ln1_post_scale", "ln2_scale", "ln2_post_scale", "q_scale", "k_scale")
    sites = [Site(kind, n) for kind in kinds for n in range(upto + 1)]
    sites = [site for site in sites if model.has_at(site)]
    return [*sites, *(Site("pattern", n) for n in range(upto))]


def test_a_key_side_node_that_is_switched_off_moves_the_score_by_its_marginal(case):
    """In the model itself, everything held up to the score, on the key side alone."""
    model, basis, (_, nodes) = case
    head, query, key = HeadName(1, 0), 11, 7
    found = qk_attribution(model, nodes, head, query, key)
    scale = scale_of(all_pairs(found))
    features = nodes.chosen.layers[0]
    seen = {}
    sites = held(model, basis, 1) + [basis.output_site(0)]
    read_scores(model, 1, [(s, lambda x, s=s: seen.__setitem__(s, x.clone())) for s in sites])
    before = read_scores(model, 1)[0, query, key]
    queries = Site("pattern", 1)
    assert queries not in seen
    strongest = found.key_marginals[: len(features.pos)].abs().argsort(descending=True)[:3]
    for row in strongest.tolist():
        pos, index = int(features.pos[row]), features.index[row : row + 1]
        write = features.activations[row] * basis.W_dec(0, index, 0)[0]

        def off(x, pos=pos, write=write):
            x = seen[basis.output_site(0)].clone()
            x[0, pos] -= write
            return x

        hooks = [(s, lambda x, s=s: seen[s]) for s in sites[:-1]]
        after = read_scores(model, 1, [*hooks, (basis.output_site(0), off)])
        # Both sides move: what moved on the query side is taken from the attribution itself.
        here = torch.tensor([row])
        both = found.query_marginals[row] + found.key_marginals[row] - found.pairs(here, here)
        moved = float(before - after[0, query, key])
        assert moved == pytest.approx(float(both), abs=3 * REL * scale)
        if pos > key:
            assert float(found.key_marginals[row]) == 0


@pytest.mark.parametrize(
    ("head", "places", "sentence"),
    [
        ((2, 0), (5, 3), r"head 2\.0: the model has layers 0 to 1, each with heads 0 to 3\."),
        ((1, 4), (5, 3), r"head 1\.4: the model has layers"),
        ((1, -1), (5, 3), r"head 1\.-1: the model has layers"),
        ((1, 0), (3, 5), r"head 1\.0 cannot look from position 3 at 5: that comes later\."),
        ((1, 0), (14, 5), r"position 14: the prompt has positions 0 to 13\."),
        ((1, 0), (5, -1), r"position -1: the prompt has positions 0 to 13\."),
        ((1, 0), (5, 3, 9), r"cannot look from position 5 at 9"),
    ],
)
def test_what_no_head_does_is_a_sentence(case, head, places, sentence):
    model, _, (_, nodes) = case
    with pytest.raises(UsageError, match=sentence):
        qk_attribution(model, nodes, HeadName(*head), *places)


def test_a_key_outside_of_the_window_is_a_sentence(case):
    model, _, (_, nodes) = case
    if "Gemma" not in model.record.architecture:
        pytest.skip("no windows")
    with pytest.raises(UsageError, match=r"does not see position 2 from 13: .* 6 to 13 there"):
        qk_attribution(model, nodes, HeadName(0, 0), 13, 2)
