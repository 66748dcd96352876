"""The layout of the picture that shows the claimed circuit on one prompt.

Up is deeper in the model (a box sits at the mean layer of its members), right is later in the
prompt (its token). A box says how active its supernode is after the clamps; a pill says what it
was clamped to; grey means nearly off. No arrows: a clamp measures an effect on the output, not a
path. Coordinates, in pixels, are made here; `circuit.svg.j2` draws them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from tracer.hypothesis.expectations.fraction import Fraction
from tracer.record.record import Record, SupernodeRecord
from tracer.record.trials import ClampRecord, Trial
from tracer.report.text import percent, plural, shorten, text_width
from tracer.report.token_row import TokenChip, token_row

WIDTH = 760.0
LEFT = 40.0
RIGHT = 14.0
PLOT = 236.0
"""Height between the first and the last layer."""
BOX = 42.0
"""Height of a box."""
GAP = 24.0
"""Between two boxes, room for the percentage and the pill on a box's upper edge."""
LONGEST_LABEL = 26
GHOST = 0.25
"""At or below this activation a supernode is drawn grey."""


@dataclass(frozen=True)
class Box:
    """A supernode."""

    label: str
    members: str
    percent: str
    percent_width: float
    of_source: bool
    pill: str | None
    pill_width: float
    ghost: bool
    injected: bool
    unknown: bool
    """It has no place on this prompt, so that nothing was measured; it stands on the left."""
    title: str
    x: float
    y: float
    width: float
    home_x: float
    home_y: float
    """The mean layer and token of the members: a leader joins it where the box had to move."""

    @property
    def height(self) -> float:
        """The same for all boxes."""
        return BOX

    @property
    def moved(self) -> bool:
        """Whether the box no longer covers its true place."""
        if self.unknown:
            return False
        inside_x = self.x <= self.home_x <= self.x + self.width
        return not (inside_x and self.y <= self.home_y <= self.y + BOX)

    @property
    def edge_y(self) -> float:
        """Where the leader meets the box."""
        return min(max(self.home_y, self.y), self.y + BOX)

    @property
    def edge_x(self) -> float:
        """Where the leader meets the box."""
        return min(max(self.home_x, self.x + 8), self.x + self.width - 8)


@dataclass(frozen=True)
class LayerTick:
    """A line at a layer."""

    y: float
    label: str


@dataclass(frozen=True)
class CircuitDrawing:
    """Everything `circuit.svg.j2` draws, in pixels."""

    width: float
    top: float
    height: float
    tokens_y: float
    description: str
    boxes: tuple[Box, ...]
    tokens: tuple[TokenChip, ...]
    ticks: tuple[LayerTick, ...]


def circuit(
    record: Record,
    intervention: str,
    prompt: str,
    also: Collection[str] = (),
    width: float = WIDTH,
) -> CircuitDrawing:
    """Lay out the supernodes of one intervention on one of its prompts.

    Args:
        record: The run.
        intervention: One of the file's own.
        prompt: It was measured on.
        also: Supernodes to draw beside those that have a part in it.
        width: In pixels.
    """
    trial = record.interventions[intervention].trials[prompt]
    clamps = {clamp.supernode: clamp for clamp in trial.clamps}
    shown = _shown(record, intervention, trial, also)
    places = {
        s.name: ()
        if _is_unknown(s.name, clamps, trial)
        else _positions(record, s, clamps.get(s.name), prompt)
        for s in shown
    }
    clamped = {pos for name in clamps if name in places for pos in places[name]}
    all_tokens, columns = record.prompts[prompt].tokens, _columns(shown, places)
    tokens, centres = token_row(all_tokens, clamped, columns, left=LEFT, right=width - RIGHT)
    boxes: list[Box] = []
    for supernode in sorted(shown, key=lambda s: _turn(clamps.get(s.name), prompt)):
        positions = places[supernode.name]
        x = sum(centres[pos] for pos in positions) / len(positions) if positions else LEFT
        y = _layer_y(_mean_layer(supernode), record.model.n_layers)
        boxes.append(_placed(_box(supernode, clamps, trial, x, y, width - RIGHT), boxes))
    top = min([0.0, *(box.y - 16 for box in boxes)])
    return CircuitDrawing(
        width=width,
        top=top,
        height=PLOT + 46 - top,
        tokens_y=PLOT + 14,
        description=_description(boxes, intervention, prompt),
        boxes=tuple(boxes),
        tokens=tokens,
        ticks=_ticks(record.model.n_layers),
    )


def _shown(
    record: Record, intervention: str, trial: Trial, also: Collection[str]
) -> list[SupernodeRecord]:
    """The supernodes clamped, asked about, or found on this very prompt, and what is named."""
    spec = record.hypothesis.interventions[intervention]
    named = {clamp.supernode for clamp in trial.clamps}
    named |= {e.supernode for e in spec.expect if isinstance(e, Fraction)}
    named |= {n for n in trial.supernodes if trial.prompt in record.supernodes[n].source}
    named |= set(also)
    return [s for name, s in record.supernodes.items() if name in named]


def _is_unknown(name: str, clamps: Collection[str], trial: Trial) -> bool:
    return name not in clamps and name not in trial.supernodes


def _turn(clamp: ClampRecord | None, prompt: str) -> int:
    """Who takes a place first: what is clamped there, then what is brought in, then the rest."""
    if clamp is None:
        return 2
    return 1 if _injected(clamp, prompt) else 0


def _positions(
    record: Record, supernode: SupernodeRecord, clamp: ClampRecord | None, prompt: str
) -> tuple[int, ...]:
    """Token positions a supernode sits at: where it was written, else its anchor."""
    last = len(record.prompts[prompt].tokens) - 1
    if clamp is not None and clamp.positions:
        return tuple(min(pos, last) for pos in clamp.positions)
    explicit = sorted({f.position for f in supernode.features if f.position is not None})
    if explicit:
        return tuple(min(pos, last) for pos in explicit)
    start, end = record.prompts[prompt].spans.get(supernode.at, (last, last + 1))
    return (end - 1,) if supernode.anchor == "last" else (start,)


def _injected(clamp: ClampRecord | None, prompt: str) -> bool:
    return clamp is not None and clamp.amount.value > 0 and prompt not in clamp.source


def _mean_layer(supernode: SupernodeRecord) -> float:
    return sum(each.layer for each in supernode.members) / max(len(supernode.members), 1)


def _layer_y(layer: float, n_layers: int) -> float:
    return PLOT - 24 - (PLOT - 34) * layer / max(n_layers - 1, 1)


def _ticks(n_layers: int) -> tuple[LayerTick, ...]:
    step = max(1, -(-n_layers // 5))
    return tuple(
        LayerTick(y=_layer_y(float(layer), n_layers), label=f"L{layer}")
        for layer in range(0, n_layers, step)
    )


def _box(
    supernode: SupernodeRecord,
    clamps: dict[str, ClampRecord],
    trial: Trial,
    x: float,
    y: float,
    right: float,
) -> Box:
    clamp = clamps.get(supernode.name)
    injected = _injected(clamp, trial.prompt)
    activation = trial.supernodes.get(supernode.name)
    share = None
    of_source = False
    if activation is not None:
        of_source = activation.of_source is not None and (injected or activation.of_clean is None)
        share = activation.of_source if of_source else activation.of_clean
    is_set = activation is not None and activation.n_set > 0
    shown = percent(share) if share is not None else "set" if is_set else "?"
    pill = clamp.amount.words() if clamp is not None else None
    width = _box_width(supernode)
    unknown = _is_unknown(supernode.name, clamps, trial)
    activity = f"{shown} of {'its source' if of_source else 'unclamped'}"
    if unknown:
        activity = "unknown, it has no place on this prompt"
    return Box(
        label=shorten(supernode.label, LONGEST_LABEL),
        members=_members(supernode),
        percent=shown,
        percent_width=text_width(shown, 11.5) + 10,
        of_source=of_source,
        pill=pill,
        pill_width=text_width(pill or "", 12.0) + 14,
        ghost=share is not None and share <= GHOST,
        injected=injected,
        unknown=unknown,
        title=f"{supernode.label}: {activity}"
        + (f", clamped to {pill}" if pill is not None else ""),
        x=min(max(x - width / 2, LEFT), right - width),
        y=y - BOX / 2,
        width=width,
        home_x=x,
        home_y=y,
    )


def _box_width(supernode: SupernodeRecord) -> float:
    label = text_width(shorten(supernode.label, LONGEST_LABEL), 13.5)
    return max(label, text_width(_members(supernode), 10.5), 84.0) + 22


def _columns(shown: list[SupernodeRecord], places: dict[str, tuple[int, ...]]) -> dict[int, float]:
    """The width each token needs for the boxes over it; a box over several tokens needs none."""
    columns: dict[int, float] = {}
    for supernode in shown:
        positions = places[supernode.name]
        width = _box_width(supernode) + 14 if len(positions) == 1 else 0.0
        for pos in positions:
            columns[pos] = max(columns.get(pos, 0.0), width)
    return columns


def _members(supernode: SupernodeRecord) -> str:
    layers = [each.layer for each in supernode.members]
    if not layers:
        return "no features"
    low, high = min(layers), max(layers)
    where = f"L{low}" if low == high else f"L{low}–{high}"
    return f"{plural(len(layers), supernode.unit)} · {where}"


def _placed(box: Box, others: list[Box]) -> Box:
    """The box at the nearest free height; an injected one goes above the original."""
    rivals = [o for o in others if _beside(box, o)]
    start = min([box.y, *(o.y for o in rivals)]) if box.injected else box.y
    lowest = PLOT - BOX
    steps = [6.0 * n for n in range(len(others) * 20 + 1)]
    tries = [start + shift for step in steps for shift in (-step, step)]
    allowed = [y for y in tries if y <= (start if box.injected else lowest)]
    above_all = min([start, *(o.y for o in rivals)]) - BOX - GAP
    clear = (y for y in [*allowed, above_all] if all(abs(y - o.y) >= BOX + GAP for o in rivals))
    return replace(box, y=next(clear))


def _beside(box: Box, other: Box) -> bool:
    """Whether the two boxes would touch if they were at one height."""
    return box.x < other.x + other.width + 12 and other.x < box.x + box.width + 12


def _description(boxes: list[Box], intervention: str, prompt: str) -> str:
    return f"{intervention} on {prompt}. " + "; ".join(box.title for box in boxes) + "."
