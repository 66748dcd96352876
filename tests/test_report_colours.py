"""The colours of supernodes: read on their background, and told apart, also by who sees two."""

from itertools import combinations

import numpy as np
import pytest

from tracer.report.render import graph_style, pattern_style

DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
"""Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB."""
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(1)
LEAST = 20.0
"""CIE76; a just noticeable difference is 2.3."""


def block(selector):
    return graph_style().split(f"{selector} {{")[1].split("}")[0]


def colours(selector):
    pairs = (part.split(":") for part in block(selector).split(";") if "#" in part)
    return {name.strip(): value.strip() for name, value in pairs}


def linear(colour):
    channels = np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    low = channels <= 0.04045
    return np.where(low, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(channels):
    ratios = XYZ @ np.clip(channels, 0, 1) / WHITE
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a, b):
    low, high = sorted(float(XYZ[1] @ linear(each)) for each in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("selector", [".gv", ".gv[data-dark]"])
def test_eight_supernodes_are_read_and_told_apart(selector):
    found = colours(selector)
    hues = [found[f"--gv-{n}"] for n in range(8)]
    for hue in hues:
        assert contrast(hue, found["--gv-card"]) >= 4.5
        assert contrast(hue, found["--gv-sunk"]) >= 4.5
    for seen in (np.eye(3), DEUTERANOPIA):
        for a, b in combinations(hues, 2):
            apart = np.linalg.norm(lab(seen @ linear(a)) - lab(seen @ linear(b)))
            assert apart >= LEAST, (a, b)


def test_a_pattern_s_marks_are_read():
    assert "--gv-ring" in pattern_style()
    for selector in (".gv", ".gv[data-dark]"):
        found = colours(".gv") | colours(selector)
        assert contrast(found["--gv-plus"], found["--gv-card"]) >= 3
