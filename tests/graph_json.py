"""A graph JSON as older circuit-tracers write it, and the pieces to change it with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def entry(node_id: str, kind: str, **more: Any) -> dict[str, Any]:
    node = {
        "node_id": node_id,
        "feature": 0,
        "layer": "0",
        "ctx_idx": 0,
        "jsNodeId": "",
        "clerp": "",
    }
    return node | {"feature_type": kind} | more


FEATURE, ERROR = "cross layer transcoder", "mlp reconstruction error"
TEXAS, AUSTIN, SAY_AUSTIN = "20_15589_4", "27_22605_4", "23_12237_4"
TWIN = "0_5_2"
"""A feature of layer 0, and the error of layer 5 as older files call it."""


def link(source: str, target: str, weight: float = 1.0) -> dict[str, Any]:
    return {"source": source, "target": target, "weight": weight}


def dallas() -> dict[str, Any]:
    """A file as older circuit-tracers write it: ids and fields of the Dallas graph."""
    return {
        "metadata": {
            "slug": "gemma-fact-dallas-austin",
            "scan": "gemma-2-2b",
            "prompt_tokens": ["<bos>", "Fact", ":", " Dallas", " is"],
            "prompt": "<bos>Fact: Dallas is",
            "node_threshold": 0.8,
        },
        "qParams": {"pinnedIds": "27_22605_4,E_26865_3", "supernodes": '[["Texas","20_15589_4"]]'},
        "nodes": [
            entry(TWIN, FEATURE, feature=20, ctx_idx=2, activation=2.0),
            entry(TEXAS, FEATURE, feature=2015589, layer=20, activation=8.5),
            entry(SAY_AUSTIN, FEATURE, feature=None, activation=None),
            entry(TWIN, ERROR, feature=-1, layer="5"),
            entry("21_-1_4", ERROR, feature=-1, layer="21"),
            entry("E_26865_3", "embedding", layer="E"),
            entry(AUSTIN, "logit", token_prob=0.42, clerp='Output " Austin" (p=0.420)'),
            entry("27_8770_4", "logit", clerp='Output " "x"" (p=0.061)'),
        ],
        "links": [
            link("E_26865_3", TEXAS, -3),
            link(TEXAS, SAY_AUSTIN, 0.25),
            link(SAY_AUSTIN, AUSTIN, 2.0),
            link("21_-1_4", AUSTIN, 4.0),
        ],
    }


def saved(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
