"""The page of an evaluation: how good dictionaries are, as a whole, by layer and by prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tracer.record.evaluation import BasisEvaluation, Evaluation, LayerEvaluation, MlpsReplaced
from tracer.report.layer_plot import LayerPlot, layer_plot
from tracer.report.render import fill_template
from tracer.report.text import NONE, formatted, number, percent, signed

Row = tuple[str, ...]
Series = dict[str, list[float | None]]
HEADINGS = ("FVU", "L0", "dead", "KL", "ΔCE", "kept")
"""Of numbers that a layer has, and a basis as a whole."""
GRAPH_HEADINGS = ("nodes", "relevance", "replaced", "complete", "without dropped")


@dataclass(frozen=True)
class BasisView:
    """One basis on the page."""

    name: str
    numbers: Row
    layers: tuple[tuple[str, Row], ...]
    """A layer, how many features it has, and its numbers."""
    graphs: tuple[tuple[str, Row], ...]
    warnings: tuple[str, ...]
    trained_on: str | None


def numbers_of(basis: BasisEvaluation) -> Row:
    """A basis as a whole: mean FVU, L0 and dead features of all layers, all MLPs replaced."""
    return (_fvu(basis.fvu), _l0(basis.l0), percent(basis.dead_share), *_replaced(basis.replaced))


def numbers_of_layer(layer: LayerEvaluation) -> Row:
    """The same of one layer, its MLP alone replaced."""
    dead = percent(layer.n_dead / layer.n_features)
    return (_fvu(layer.fvu), _l0(layer.l0), dead, *_replaced(layer.replaced))


def graphs_of(basis: BasisEvaluation) -> Iterator[tuple[str, Row]]:
    """What the graph of each prompt carries, under the prompt's name or its text."""
    for each in basis.graphs:
        theirs = each.without_dropped
        yield (
            each.name or each.prompt,
            (
                f"{each.n_kept:,}",
                percent(each.relevance_share),
                number(each.scores.replacement),
                number(each.scores.completeness),
                NONE if theirs is None else f"{number(theirs[0])}, {number(theirs[1])}",
            ),
        )
    if len(basis.graphs) > 1 and (means := basis.mean_scores) is not None:
        yield "mean", ("", "", *map(number, means), "")


def about(found: Evaluation) -> str:
    """What was run, in a sentence."""
    text = found.text
    kept = "" if text.is_whole else " (passages that training leaves out)"
    return (
        f"{found.model.name} on {text.n_tokens:,} tokens of {'; '.join(text.sources)}{kept}; next "
        f"tokens with MLPs replaced after {text.n_replaced:,} of them, where the model's own "
        f"cross-entropy is {number(text.ce, 3)} nats."
    )


def _replaced(found: MlpsReplaced) -> Row:
    return number(found.kl, 3), signed(found.ce_change, 3), percent(found.kept)


def _fvu(value: float | None) -> str:
    return number(value, 3)


def _l0(value: float) -> str:
    return formatted(value, ",.1f")


def render_evaluation(found: Evaluation) -> str:
    """Everything that was measured as one self-contained HTML page."""
    model, text = found.model, found.text
    return fill_template(
        "evaluation.html.j2",
        found=found,
        headings=HEADINGS,
        graph_headings=GRAPH_HEADINGS,
        bases=[_view(basis) for basis in found.bases],
        plots=_plots(found.bases),
        about=about(found),
        facts=(
            ("Started", found.started),
            ("Model", f"{model.name}, {model.dtype}, {model.device}"),
            ("Fingerprint of the weights", model.fingerprint),
            *(
                (f"Fingerprint of {each.basis}", each.dictionary.fingerprint or NONE)
                for each in found.bases
                if each.dictionary is not None
            ),
            ("Text", "; ".join(text.sources)),
            ("SHA-256 of its tokens", text.sha256),
            ("tracer", found.environment.tracer),
            ("Wall time", f"{number(found.seconds, 1)} s"),
        ),
    )


def _view(basis: BasisEvaluation) -> BasisView:
    own = basis.trained_on
    return BasisView(
        name=basis.basis,
        numbers=numbers_of(basis),
        layers=tuple(
            (f"{n}", (f"{layer.n_features:,}", *numbers_of_layer(layer)))
            for n, layer in enumerate(basis.layers)
        ),
        graphs=tuple(graphs_of(basis)),
        warnings=basis.warnings,
        trained_on=None if own is None else f"{own.tokens:,} tokens of {'; '.join(own.text)}",
    )


def _plots(bases: Sequence[BasisEvaluation]) -> list[tuple[str, LayerPlot]]:
    def series(
        of_layer: Callable[[LayerEvaluation], float | None],
    ) -> dict[str, list[float | None]]:
        return {each.basis: [of_layer(layer) for layer in each.layers] for each in bases}

    return [
        ("Variance unexplained", layer_plot(series(lambda x: x.fvu), _tick)),
        ("Active features (L0)", layer_plot(series(lambda x: x.l0), _tick)),
        ("Dead features", layer_plot(series(lambda x: x.n_dead / x.n_features), percent)),
        ("KL with this MLP replaced", layer_plot(series(lambda x: x.replaced.kl), _tick)),
    ]


def _tick(value: float) -> str:
    return formatted(value, ".3g")
