"""What was measured of one intervention: its clamps, the model's answers and the texts it wrote."""

from __future__ import annotations

from pydantic import Field

from tracer.hypothesis.clamps import Amount, amount_of
from tracer.record.json_model import Recorded


class TokenReading(Recorded):
    """One token at the read position."""

    token: str
    id: int
    logit: float
    probability: float = Field(description="Softmax over the whole vocabulary.")
    rank: int = Field(description="1 is the most probable; ties go to the lower id.")


class Reading(Recorded):
    """The output at a prompt's last position."""

    top: tuple[TokenReading, ...] = Field(description="The ten most probable, best first.")
    tokens: dict[str, TokenReading] = Field(description="Every token the hypothesis asks about.")


class Activation(Recorded):
    """How active a supernode was in one clamped pass: dot products over its features."""

    of_clean: float | None = Field(description="⟨a, a₀⟩/⟨a₀, a₀⟩, a₀ = clean; None if a₀ = 0.")
    of_source: float | None = Field(description="The same with a₀ = mean over its sources.")
    mean_of_clean: float | None = Field(
        default=None, description="Mean of aᵢ/a₀ᵢ over the features with a₀ᵢ ≠ 0; None without any."
    )
    mean_of_source: float | None = Field(
        default=None, description="The same with a₀ of `of_source`."
    )


class Dose(Recorded):
    """One point of a dose series."""

    factor: float
    reading: Reading


class ClampRecord(Recorded):
    """One clamp as it was carried out on one prompt."""

    supernode: str
    times: float | None = Field(default=None, description="The clamp's amount, in one of three")
    to: float | None = Field(default=None, description="units; exactly one is given:")
    add: float | None = Field(default=None, description="see `tracer.hypothesis.clamps`.")
    source: tuple[str, ...] = Field(description="Prompts the activations came from, where any did.")
    positions: tuple[int, ...] = Field(description="Token positions written to.")
    n_features: int
    n_overridden: int = Field(description="Features that a later clamp of the same run took over.")
    write_norm: float = Field(description="L2 norm of the summed write, over layers and positions.")

    @property
    def amount(self) -> Amount:
        """How much, and in which unit."""
        return amount_of(self.times, self.to, self.add)


class GeneratedText(Recorded):
    """One text that the model wrote after a prompt."""

    text: str = Field(description="Without the prompt and without the token that ended it.")
    token_ids: tuple[int, ...]
    stopped: bool = Field(description="A stop token ended it; otherwise the limit did.")


class Generated(Recorded):
    """What was written under the clamps, and without them by the same random numbers."""

    clamped: tuple[GeneratedText, ...]
    clean: tuple[GeneratedText, ...]


class Trial(Recorded):
    """One intervention on one prompt.

    Its controls are in the tensors: `controls/<intervention>/<prompt>/logits` of shape
    [control, token] for the tokens in `control_tokens`, `…/logsumexp` [control] and
    `…/top` [control].
    """

    prompt: str
    clamps: tuple[ClampRecord, ...]
    reading: Reading
    supernodes: dict[str, Activation]
    doses: tuple[Dose, ...] = ()
    generated: Generated | None = Field(default=None, description="Where texts are generated.")
    n_controls: int
    control_tokens: tuple[str, ...] = ()
    problem: str | None = Field(default=None, description="Why it could not be measured.")


class InterventionRecord(Recorded):
    """An intervention and its trials, one per prompt."""

    name: str
    trials: dict[str, Trial]
