"""The picture of a circuit says what was recorded and nothing overlaps."""

from itertools import combinations

import pytest

from tests.records import change, make_record
from tracer.record.record import FeatureRef, Record
from tracer.report.circuit_diagram import GAP, CircuitDrawing, circuit
from tracer.report.token_row import token_row


def labels(drawn: CircuitDrawing) -> dict[str, tuple[str, str | None, bool]]:
    return {box.label: (box.percent, box.pill, box.ghost) for box in drawn.boxes}


def test_boxes_carry_activation_and_clamp():
    record, _ = make_record()
    assert labels(circuit(record, "texas_to_california", "dallas")) == {
        "Texas": ("0 %", "×0", True),
        "California": ("100 %", "×1", False),
        "say Austin": ("34 %", None, False),
    }


def test_what_has_no_part_in_the_intervention_is_not_drawn():
    record, _ = make_record()
    assert labels(circuit(record, "ablate_texas", "dallas")).keys() == {"Texas", "say Austin"}
    assert labels(circuit(record, "texas_to_california", "plano")).keys() == {"Texas", "California"}


def test_what_is_named_is_drawn_too_and_unknown_where_it_has_no_place():
    record, _ = make_record()
    trial = record.interventions["ablate_texas"].trials["dallas"]
    seen = {n: found for n, found in trial.supernodes.items() if n != "california"}
    record = change(record, "interventions.ablate_texas.trials.dallas.supernodes", seen)
    before = circuit(record, "ablate_texas", "dallas")
    drawn = circuit(record, "ablate_texas", "dallas", list(record.supernodes))
    boxes = {box.label: box for box in drawn.boxes}
    assert boxes["California"].unknown and boxes["California"].percent == "?"
    assert "no place on this prompt" in boxes["California"].title
    assert not boxes["California"].moved
    assert {label for label, box in boxes.items() if box.unknown} == {"California"}
    assert labels(before).items() <= labels(drawn).items()
    assert not any(box.unknown for box in before.boxes)
    assert drawn.tokens == before.tokens


def test_an_injected_supernode_stands_above_the_original_and_is_measured_on_its_source():
    record, _ = make_record()
    boxes = {b.label: b for b in circuit(record, "texas_to_california", "dallas").boxes}
    texas, california = boxes["Texas"], boxes["California"]
    assert california.injected and california.of_source
    assert not texas.injected and not texas.of_source
    assert california.y + california.height < texas.y


def test_height_is_the_mean_layer_and_place_the_token():
    record, _ = make_record()
    deep = tuple(FeatureRef(layer=layer, index=1) for layer in (15, 17))
    shallow = tuple(FeatureRef(layer=layer, index=1) for layer in (1, 3))
    record = change(record, "supernodes.say_austin.features", deep)
    record = change(record, "supernodes.texas.features", shallow)
    drawn = circuit(record, "ablate_texas", "dallas")
    boxes = {b.label: b for b in drawn.boxes}
    per_layer = (boxes["Texas"].home_y - boxes["say Austin"].home_y) / 14
    ticks = {t.label: t.y for t in drawn.ticks}
    assert ticks["L0"] - boxes["Texas"].home_y == pytest.approx(2 * per_layer)
    last = drawn.tokens[-1]
    assert last.text == "' is'"
    assert boxes["say Austin"].home_x == pytest.approx(last.middle)


def crowded(n: int) -> Record:
    record, _ = make_record()
    texas = record.supernodes["texas"]
    trial = record.interventions["ablate_texas"].trials["dallas"]
    names = [f"node_{i}" for i in range(n)]
    record = change(
        record,
        "supernodes",
        {"texas": texas} | {m: texas.model_copy(update={"name": m, "label": m}) for m in names},
    )
    activation = trial.supernodes["texas"]
    return change(
        record,
        "interventions.ablate_texas.trials.dallas.supernodes",
        dict.fromkeys(["texas", *names], activation),
    )


def test_many_supernodes_on_one_token_never_overlap():
    drawn = circuit(crowded(9), "ablate_texas", "dallas")
    assert len(drawn.boxes) == 10
    for one, other in combinations(drawn.boxes, 2):
        apart_y = abs(one.y - other.y) >= one.height + GAP - 1e-6
        apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart_x or apart_y
    assert all(box.y >= drawn.top for box in drawn.boxes)


def test_a_row_of_tokens_keeps_those_that_matter_and_fits():
    tokens = tuple(f" token{i}" for i in range(400))
    chips, middles = token_row(tokens, {200}, {200: 130.0, 390: 120.0}, left=40.0, right=740.0)
    assert {200, 390, 399} <= middles.keys()
    assert [c.kind for c in chips].count("gap") >= 2
    assert chips[-1].x + chips[-1].width <= 740
    assert next(c for c in chips if c.kind == "clamped").text == "' token200'"
    left_out = sum(int(c.text.strip("⋯")) for c in chips if c.kind == "gap")
    assert left_out + len(middles) == 400
    assert all(a.x + a.width < b.x for a, b in zip(chips, chips[1:], strict=False))


def test_a_clamp_on_every_token_still_fits():
    everywhere = dict.fromkeys(range(300), 0.0)
    tokens = (" word",) * 300
    chips, middles = token_row(tokens, set(everywhere), everywhere, left=40.0, right=740.0)
    assert len(middles) == 300
    assert chips[-1].x + chips[-1].width <= 740
