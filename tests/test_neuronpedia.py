from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds, check, features_of, read_url

PAGE = "https://www.neuronpedia.org/gemma-2-2b/graph"
GEMMA = (26, [16384] * 26)
DALLAS = [
    ["capital", "15_4494_4", "6_4662_4", "4_7671_4", "3_13984_4", "1_1000_4"],
    ["state", "6_4012_7", "0_13727_7"],
    ["Texas", "20_15589_9", "19_7477_9", "16_25_9", "4_13154_9", "14_2268_9", "7_6861_9"],
    [
        *("capital cities / say a capital city", "21_5943_10", "17_7178_10"),
        *("7_691_10", "16_4298_10"),
    ],
    ["Say Austin", "23_12237_10"],
    ["preposition followed by place name", "19_1445_10", "18_6101_10"],
]
PINNED = "27_22605_10,E_26865_9,E_2329_7,E_6037_4,20_15589_10,18_8959_10"


def url(supernodes: object, page: str = PAGE, **fields: str) -> str:
    """An address as the page makes it: percent encoding, spaces as `+`."""
    listed = json.dumps(supernodes, separators=(",", ":"), ensure_ascii=False)
    return (
        f"{page}?{urlencode({'slug': 'gemma-fact-dallas-austin', **fields, 'supernodes': listed})}"
    )


def test_the_published_dallas_address_gives_its_supernodes():
    link = read_url(url(DALLAS, pinnedIds=PINNED, pruningThreshold="0.53", clerps="[]"))
    assert (link.model, link.slug) == ("gemma-2-2b", "gemma-fact-dallas-austin")
    assert [[label, *ids] for label, ids in link.supernodes] == DALLAS
    assert link.pinned == tuple(PINNED.split(","))
    assert link.notes == ()
    assert features_of(link, "Texas") == tuple(DALLAS[2][1:])
    kept, notes = check(link, *GEMMA)
    assert (kept, notes) == (link, ())


@pytest.mark.parametrize(
    ("page", "model"),
    [
        (PAGE + "/", "gemma-2-2b"),
        ("http://localhost:8041/index.html", None),
        ("https://x.org/a%20b/graph", "a b"),
    ],
)
def test_any_host_will_do(page: str, model: str | None):
    link = read_url(f" {url(DALLAS, page)}#top\n")
    assert (link.model, len(link.supernodes)) == (model, 6)


def test_labels_may_hold_anything_and_come_twice():
    labels = ["R&D + 100% #1", "Texas", "Texas", "Texas (2)", "Texas", "大"]
    link = read_url(url([[label, f"{n}_1_1"] for n, label in enumerate(labels)]))
    assert [group.label for group in link.supernodes] == [
        *("R&D + 100% #1", "Texas", "Texas (2)", "Texas (2) (2)", "Texas (3)", "大"),
    ]
    assert features_of(link, "Texas (3)") == ("4_1_1",)


def test_what_is_no_feature_is_left_out_and_told():
    ids = ["E_26865_9", "20_15589_9", "5_-1_9", "D25_5604_7", "27_1000000000_9", "20_15589_9", ""]
    link = read_url(url([["Texas", *ids]], pinnedIds="D25_5604_7,,5_-1_9,27_1000000000_9,²_1_1"))
    assert link.supernodes == (LabelledIds("Texas", ("20_15589_9",)),)
    assert link.pinned == ("5_-1_9", "27_1000000000_9")
    assert link.notes == (
        "supernode 'Texas': 'E_26865_9' is a token, no feature: left out.",
        "supernode 'Texas': '5_-1_9' is an error, no feature: left out.",
        "supernode 'Texas': 'D25_5604_7' is no id, 'layer_index_position': left out.",
        "supernode 'Texas': '27_1000000000_9' is a logit, no feature: left out.",
        "supernode 'Texas': '' is no id, 'layer_index_position': left out.",
        "pinned: 'D25_5604_7' is no id, 'layer_index_position': left out.",
        "pinned: '²_1_1' is no id, 'layer_index_position': left out.",
    )


def test_what_the_model_does_not_have_is_left_out_and_told():
    ids = ["27_22605_10", "26_1_10", "20_58293_10", "20_16383_10", "0_5_2", "0_1961_4"]
    link = read_url(url([["stale", *ids]], pinnedIds="27_22605_10,30_1_1"))
    assert link.notes == ()
    kept, notes = check(link, *GEMMA)
    assert features_of(kept, "stale") == ("20_16383_10", "0_5_2", "0_1961_4")
    assert kept.pinned == ("27_22605_10",)
    assert notes == (
        "supernode 'stale': '27_22605_10' is a logit, no feature: left out.",
        "supernode 'stale': '26_1_10' is in layer 26, but there are 26 layers, counted from 0: "
        "left out.",
        "supernode 'stale': '20_58293_10' is feature 58293, but layer 20 has 16384, counted from "
        "0: left out.",
        "pinned: '30_1_1' is in layer 30, but there are 26 layers, counted from 0: left out.",
        "supernode 'stale': '0_5_2' is read as a feature of layer 0; in older graphs the error of "
        "layer 5 has that id too.",
    )


def test_an_unknown_label_is_told_with_those_there_are():
    link = read_url(url(DALLAS))
    with pytest.raises(UsageError, match="no supernode 'texas'. Did you mean 'Texas'. Known: 'cap"):
        features_of(link, "texas")
    empty = read_url(url([["Dallas", "E_26865_9"]]))
    with pytest.raises(UsageError, match="the supernode 'Dallas' has no features"):
        features_of(empty, "Dallas")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is no URL of a graph page"),
        ("gemma-2-2b/graph?slug=a&supernodes=[]", "is no URL of a graph page"),
        ("file:///etc/passwd?slug=a&supernodes=[]", "is no URL of a graph page"),
        ("https://[::1/graph?slug=a", "is no URL: Invalid IPv6"),
        ("https://x.org:99999/m/graph?slug=a", "is no URL: Port out of range"),
        (f"{PAGE}?slug=a", "has no 'supernodes': .* saved subgraph"),
        (f"{PAGE}?slug=a&subgraph=x&supernodes=+", "has no 'supernodes'"),
        (f"{PAGE}?supernodes=[]", "has no 'slug'"),
        (f"{PAGE}?slug=a&slug=b&supernodes=[]", "gives 'slug' twice"),
        (f"{PAGE}?slug=a&supernodes=[]", "its list is empty"),
        (f'{PAGE}?slug=a&supernodes=[["R&D","1_1_1"]]', "no JSON .* inside a label is written %26"),
        (f"{PAGE}?slug=a&supernodes=[[1]]", r"supernodes\[0\]: found \[1\]"),
        (f"{PAGE}?slug=a&supernodes=[NaN]", "no JSON"),
        (f"{PAGE}?slug=a&supernodes=" + "[" * 100_000, "no JSON"),
        (f"{PAGE}?slug=a&supernodes=" + "9" * 100_000, "no JSON"),
        (f"{PAGE}?slug=a&supernodes=\ud800", "no JSON"),
        (f"{PAGE}?" + "a&" * 2_000, "is no URL: Max number of fields"),
        (f"{PAGE}?slug=a&supernodes=" + "a" * (1 << 20), "longer than 1 MB"),
    ],
)
def test_what_is_no_such_address_is_one_sentence(text: str, sentence: str):
    with pytest.raises(UsageError, match=sentence):
        read_url(text)


def test_many_equal_labels_take_no_time():
    link = read_url(f"{PAGE}?slug=a&supernodes=[{','.join(['[%22a%22]'] * 20_000)}]")
    assert link.supernodes[-1].label == "a (20000)"
