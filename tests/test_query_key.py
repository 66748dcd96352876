"""Why a head looks there: pairs of nodes against the scores that the model itself computes."""

import warnings

import numpy as np
import pytest
import torch

from tests.opened import BASES, attributed_of, basis_of, held_at, held_outputs, ids_of, kept_by
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.model.sites import Site
from tracer.errors import UsageError
from tracer.hypothesis.heads import HeadName

REL = 1e-5
"""fp32, over the largest pair, and the largest score."""
HEADS = [HeadName(0, 1), HeadName(1, 0), HeadName(1, 3)]
LAST = 13
"""Position of the last token; the sliding layers of Gemma see 8."""


@pytest.fixture(scope="module", params=BASES)
def case(request, each_model, tmp_path_factory):
    basis = basis_of(request.param, each_model, tmp_path_factory.mktemp("dictionary"))
    taken = attributed_of(each_model, basis, 40)
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
    assert abs(total - wanted) < REL * scale
    assert float(found.total) == pytest.approx(wanted, abs=REL * scale)
    assert found.score == pytest.approx(wanted, abs=REL * scale)


def test_differences_are_of_the_models_scores(case):
    model, _, (_, nodes) = case
    head = HeadName(1, 2)
    scores = read_scores(model, 1)[2, 12, :13]
    pattern = nodes.frozen.blocks[1].pattern[2, 12, :13].double()
    less = qk_attribution(model, nodes, head, 12, 9, 7)
    mean = qk_attribution(model, nodes, head, 12, 9, "mean")
    assert float(less.total) == pytest.approx(
        float(scores[9] - scores[7]), abs=REL * scale_of(all_pairs(less))
    )
    there = pattern > 0
    wanted = float(scores[9] - pattern[there] @ scores[there])
    assert float(mean.total) == pytest.approx(wanted, abs=REL * scale_of(all_pairs(mean)))
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


def switched_off(model, basis, nodes, rows):
    """The stream before layer 1 without some nodes of layer 0 and tokens, all else held.

    Patterns, scales and the rest of the MLP's output stay as they are.
    """
    seen, found, frozen = {}, {}, nodes.frozen
    features, embedded, output = nodes.chosen.layers[0], Site("resid_pre", 0), basis.output_site(0)
    held = [site for site in model.scale_sites if site.layer == 0]
    held += [Site("pattern", 0), embedded]
    read_scores(model, 1, kept_by([*held, basis.input_site(0), output], seen))
    for row in rows:
        if row >= nodes.first_token:
            pos = row - nodes.first_token
            seen[embedded][0, pos] -= frozen.resid_pre[0][pos]
        else:
            write = features.activations[row] * basis.W_dec(0, features.index[row : row + 1], 0)[0]
            seen[output][0, int(features.pos[row])] -= write
    end = kept_by([Site("resid_pre", 1)], found)
    read_scores(model, 1, [*held_at(held, seen), *held_outputs(basis, [0], seen), *end])
    return found[Site("resid_pre", 1)]


@pytest.mark.parametrize("against", [None, 9])
@pytest.mark.parametrize("side", ["query", "key"])
def test_what_is_switched_off_on_one_side_moves_the_score_by_its_marginal(case, side, against):
    """In the model itself: one side of the score reads the stream without a group of nodes."""
    model, basis, (_, nodes) = case
    head, query, key = HeadName(1, 0), 11, 7
    found = qk_attribution(model, nodes, head, query, key, against)
    marginals = found.query_marginals if side == "query" else found.key_marginals
    of_layer = len(nodes.chosen.layers[0].pos)
    strongest = marginals[:of_layer].abs().argsort(descending=True)[:5].tolist()
    group = [*strongest, nodes.first_token, nodes.first_token + 5]
    off, places = switched_off(model, basis, nodes, group), [query]
    if side == "key":
        places = [key] if against is None else [key, against]
    seen = {}
    scales = [site for site in model.scale_sites if site.layer == 1]
    scales += [Site(k, 1) for k in ("q_scale", "k_scale") if model.has_at(Site(k, 1))]
    before = read_scores(model, 1, kept_by(scales, seen))[0, query]

    def without(x):
        x = x.clone()
        x[0, places] = off[0, places]
        return x

    after = read_scores(model, 1, [(Site("resid_pre", 1), without), *held_at(scales, seen)])
    fall = before - after[0, query]
    moved = float(fall[key] - (0 if against is None else fall[against]))
    wanted = float(marginals[group].double().sum())
    scale = scale_of(all_pairs(found))
    assert abs(wanted) > 1e-3 * scale
    assert moved == pytest.approx(wanted, abs=REL * scale)


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
