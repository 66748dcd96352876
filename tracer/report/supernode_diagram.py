"""The layout of the picture of what a graph's supernodes do to one another and to the output.

A box is a supernode, closed or opened to its members; deeper ones stand higher, those later in the
prompt further right. An arrow is
the sum of all direct effects of one group on another, as a share of everything that enters the
target: a solid one with a head adds, a dashed one with a bar takes away. Beside it stands what
clamping measured. A link that the file claims with the other sign is marked. Coordinates, in
pixels, are made here; `supernodes.svg.j2` draws them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, takewhile
from math import hypot, sqrt
from typing import NamedTuple

from tracer.hypothesis.expectations.edge import OUTPUT
from tracer.report.text import (
    plural,
    shorten,
    signed,
    text_width,
)

WIDTH = 760.0
BOX = 42.0
ROW = 150.0
"""From one row of boxes to the next, with room for what stands at an arrow."""
GAP = 22.0
MARGIN = 10.0
ARC = 62.0
"""How far the middle of an arrow between two boxes of one row lies above them."""
SAME_ROW = 2.0
"""Layers; groups that are no further apart stand side by side."""
MEMBER = 13.0
"""Of the line of one member in an opened box."""
LONGEST_MEMBER = 44
MOST_LINKS = 12
LEAST = 0.005
"""Share; a weaker link is drawn only where the file claims it."""
LONGEST_LABEL = 26
_TOP = 1e9
"""The layer of the output."""
_BOLD = 1.12
"""Width of bold text, relative to what is set plainly."""


class Group(NamedTuple):
    """A supernode, or the output, before it has a place."""

    name: str
    label: str
    note: str
    layer: float
    """Mean of its members."""
    position: float
    members: tuple[str, ...] = ()
    """Names of the strongest, and how many more there are."""


def output_group(label: str) -> Group:
    """What a graph explains: above all layers."""
    return Group(OUTPUT, label, "is explained", _TOP, 0.0)


class GroupEffect(NamedTuple):
    """All direct effects of one group on another, before they have a place."""

    source: str
    target: str
    share: float
    """−1 to 1."""
    measured: str = ""
    """What clamping the source did to the target, in a few words."""
    flag: str = ""
    """The sign that the file claims, or that ablating shows, where it is another; else empty."""


@dataclass(frozen=True)
class GroupBox:
    """A box."""

    name: str
    label: str
    note: str
    x: float
    y: float
    width: float
    height: float
    members: tuple[str, ...]
    """See `Group`."""
    is_open: bool
    """Whether they are drawn."""

    @property
    def is_output(self) -> bool:
        """Whether it stands for what the graph explains."""
        return self.name == OUTPUT

    @property
    def middle(self) -> float:
        """Of its width."""
        return self.x + self.width / 2


@dataclass(frozen=True)
class Arrow:
    """An effect, drawn."""

    title: str
    path: str
    head: str
    width: float
    adds: bool
    lines: tuple[str, ...]
    """The share, then what was measured."""
    flag: str
    x: float
    """Middle of its text."""
    y: float
    """Top of its text."""
    text_width: float


@dataclass(frozen=True)
class SupernodeDiagram:
    """Everything `supernodes.svg.j2` draws."""

    width: float
    top: float
    height: float
    description: str
    boxes: tuple[GroupBox, ...]
    arrows: tuple[Arrow, ...]
    note: str
    """Which links are too weak to be drawn; empty where all are."""


def share_text(share: float) -> str:
    """'+12.0 %'."""
    return f"{signed(100 * share, 1)} %"


def diagram(
    groups: Sequence[Group],
    effects: Iterable[GroupEffect],
    claimed: Collection[tuple[str, str]],
    opened: Collection[str] = (),
) -> SupernodeDiagram:
    """Place the groups and draw the effects between them: the claimed ones, then the strongest.

    Those that are `opened` show their members.
    """
    names = {each.name: each.label for each in groups}
    known = [each for each in effects if each.source in names and each.target in names]
    ordered = sorted(known, key=lambda each: -abs(each.share))
    told = [each for each in ordered if (each.source, each.target) in claimed]
    others = [each for each in ordered if each not in told and abs(each.share) >= LEAST]
    drawn = [*told, *others[: max(0, MOST_LINKS - len(told))]]
    boxes, height = _boxes(groups, opened)
    arrows = _apart([_arrow(each, boxes) for each in drawn], boxes.values())
    top = min(0.0, *(each.y for each in arrows), *(each.y - MARGIN for each in boxes.values()))
    left_out = len(known) - len(drawn)
    return SupernodeDiagram(
        WIDTH,
        top,
        height - top,
        "Direct effects between supernodes: " + "; ".join(each.title for each in arrows) + ".",
        tuple(boxes.values()),
        tuple(arrows),
        f"{plural(left_out, 'weaker link')} not drawn, see the table." if left_out else "",
    )


def _boxes(groups: Sequence[Group], opened: Collection[str]) -> tuple[dict[str, GroupBox], float]:
    """Boxes in rows, the deepest on top, and the height of all."""
    widths = {each.name: _width(each, is_open=each.name in opened) for each in groups}
    rows: list[list[Group]] = []
    for group in sorted(groups, key=lambda each: (each.layer, each.position)):
        mine = rows[-1] if rows else []
        is_near = bool(mine) and group.layer - mine[0].layer <= SAME_ROW
        if is_near and _row_width([*mine, group], widths) <= WIDTH:
            mine.append(group)
        else:
            rows.append([group])
    found: dict[str, GroupBox] = {}
    top, bottom = MARGIN, 0.0
    for row in reversed(rows):
        free = max(0.0, WIDTH - _row_width(row, widths)) / (len(row) + 1)
        highest = BOX
        x = MARGIN + free
        for group in sorted(row, key=lambda each: each.position):
            label = shorten(group.label, LONGEST_LABEL)
            is_open = group.name in opened and bool(group.members)
            height = BOX + (MEMBER * len(group.members) + 4 if is_open else 0.0)
            members = tuple(shorten(each, LONGEST_MEMBER) for each in group.members)
            place = (x, top, widths[group.name], height)
            found[group.name] = GroupBox(group.name, label, group.note, *place, members, is_open)
            x += widths[group.name] + GAP + free
            highest = max(highest, height)
        bottom = top + highest
        top = bottom + ROW - BOX
    return found, bottom + MARGIN


def _width(group: Group, *, is_open: bool) -> float:
    label = _BOLD * text_width(shorten(group.label, LONGEST_LABEL), 13.5)
    lines = [shorten(each, LONGEST_MEMBER) for each in group.members if is_open]
    return max(label, *(text_width(each, 10.5) for each in (group.note, *lines)), 84.0) + 22


def _row_width(row: Sequence[Group], widths: Mapping[str, float]) -> float:
    return sum(widths[each.name] + GAP for each in row) - GAP + 2 * MARGIN


def _arrow(effect: GroupEffect, boxes: dict[str, GroupBox]) -> Arrow:
    """A curve from box to box; both ways between two boxes bend apart."""
    source, target = boxes[effect.source], boxes[effect.target]
    up = source.y > target.y
    level = source.y == target.y
    x0, y0 = source.middle, source.y if up or level else source.y + source.height
    x1 = target.middle + (0 if level else (source.middle - target.middle) * 0.25)
    x1 = min(max(x1, target.x + 12), target.x + target.width - 12)
    y1 = target.y + target.height if up else target.y
    bend = 2 * ARC if level else 0.0
    side = 18.0 if up else -18.0
    cx, cy = (x0 + x1) / 2 + (0 if level else side), (y0 + y1) / 2 - bend
    length = hypot(x1 - cx, y1 - cy) or 1.0
    dx, dy = (x1 - cx) / length, (y1 - cy) / length
    adds = effect.share >= 0
    tip = (x1 - 2 * dx, y1 - 2 * dy)
    end = (x1 - 9 * dx, y1 - 9 * dy) if adds else tip
    lines = tuple(filter(None, (share_text(effect.share), effect.measured)))
    words = (*lines, f"⚠ {effect.flag}") if effect.flag else lines
    # A third of the way: arrows into one box are far apart there.
    t = 0.5 if level else 0.36
    x = (1 - t) ** 2 * x0 + 2 * t * (1 - t) * cx + t * t * x1
    y = (1 - t) ** 2 * y0 + 2 * t * (1 - t) * cy + t * t * y1
    told = "; ".join(words)
    return Arrow(
        title=f"{source.label} → {target.label} {told}",
        path=f"M{x0:.1f} {y0:.1f}Q{cx:.1f} {cy:.1f} {end[0]:.1f} {end[1]:.1f}",
        head=_head(tip, (dx, dy), adds=adds),
        width=min(1.2 + 9 * sqrt(abs(effect.share)), 7.0),
        adds=adds,
        lines=lines,
        flag=effect.flag,
        x=x,
        y=y - 7.0 * len(words),
        text_width=_BOLD * max(text_width(each, 11.5) for each in words) + 10,
    )


def _head(tip: tuple[float, float], way: tuple[float, float], *, adds: bool) -> str:
    """A triangle that points at the target, or a bar across."""
    (x, y), (dx, dy) = tip, way
    if adds:
        bx, by = x - 10 * dx, y - 10 * dy
        ends = ((x, y), (bx - 5 * dy, by + 5 * dx), (bx + 5 * dy, by - 5 * dx))
        return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in ends) + "Z"
    ends = ((x - 7 * dy, y + 7 * dx), (x + 7 * dy, y - 7 * dx))
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in ends)


def _apart(arrows: Sequence[Arrow], boxes: Collection[GroupBox]) -> list[Arrow]:
    """The arrows with their texts moved where they would lie on one another, or on a box.

    Down, as long as no box is in the way; else up.
    """
    found: list[Arrow] = []
    for arrow in arrows:
        down = (replace(arrow, y=arrow.y + 6 * n) for n in count())
        above_boxes = takewhile(lambda moved: not any(_is_on(moved, box) for box in boxes), down)
        up = (replace(arrow, y=arrow.y - 6 * n) for n in count(1))
        moves = chain(above_boxes, up)
        found.append(next(moved for moved in moves if _is_free(moved, found, boxes)))
    return found


def _is_free(arrow: Arrow, others: Sequence[Arrow], boxes: Collection[GroupBox]) -> bool:
    on_text = any(_overlap(arrow, other) for other in others)
    return not on_text and not any(_is_on(arrow, box) for box in boxes)


def _is_on(arrow: Arrow, box: GroupBox) -> bool:
    near = abs(arrow.x - box.middle) < (arrow.text_width + box.width) / 2
    return near and arrow.y < box.y + box.height and box.y < arrow.y + _text_height(arrow)


def _overlap(a: Arrow, b: Arrow) -> bool:
    near = abs(a.x - b.x) < (a.text_width + b.text_width) / 2
    return near and a.y < b.y + _text_height(b) and b.y < a.y + _text_height(a)


def _text_height(arrow: Arrow) -> float:
    return 14.0 * (len(arrow.lines) + bool(arrow.flag)) + 4
