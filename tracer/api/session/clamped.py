"""What clamps did to one prompt: the logits and the activations that came out, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from jaxtyping import Float
from torch import Tensor

from tracer.api.session.answers import top_line
from tracer.record.trials import Reading, TokenReading
from tracer.report.screen import clean


@dataclass(frozen=True, eq=False, repr=False)
class Clamped:
    """One prompt, clamped and unclamped, at its last position."""

    text: str
    tokens: tuple[str, ...]
    logits: Float[Tensor, " vocab"]
    """Under the clamps; float32 at least, on the model's device."""
    unclamped: Float[Tensor, " vocab"]
    """Without them."""
    activations: Mapping[str, Float[Tensor, " member"]]
    """By supernode or feature id, clamped or only read: each member that has a place here, in the
    order of `features`, after the clamps."""
    before: Mapping[str, Float[Tensor, " member"]]
    """The same without the clamps."""
    reading: Reading
    """The most probable tokens under the clamps."""
    baseline: Reading
    """And without them."""

    @property
    def top(self) -> tuple[TokenReading, ...]:
        """The ten most probable next tokens under the clamps, best first."""
        return self.reading.top

    def __repr__(self) -> str:
        return f"clamped:   {top_line(self.reading)}\nunclamped: {top_line(self.baseline)}"

    def _repr_html_(self) -> str:
        told = {"clamped": self.reading, "unclamped": self.baseline}
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{escape(top_line(each))}</td></tr>"
            for name, each in told.items()
        )
        return f"<p>{escape(clean(self.text))}</p><table><tbody>{rows}</tbody></table>"
