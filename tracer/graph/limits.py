"""How large an attribution graph may be, wherever one is asked for, made, written or read."""

from __future__ import annotations

KEPT_FEATURES = 2048
"""Features kept where nobody says otherwise."""
MAX_FEATURES = 50_000
"""The edge matrix grows with the square: 10 GB."""
MAX_CELLS = 2 * MAX_FEATURES**2
"""Of the edge matrix: as many features, with as many errors and tokens; 20 GB."""
LARGEST = 1e30
"""No edge, activation or value is larger; sums of edges stay far inside float32."""
MAX_JSON_BYTES = 100_000_000
"""Of a graph JSON; Neuronpedia takes no larger one."""
