"""What an index holds of one layer, kept up to date batch by batch.

For every feature and sign: the strongest place of each window, as long as it is among the k
strongest of all windows, and how often |activation| lies in each bin (`tracer.engine.feature_index.
bins`), which is read off the upper bits of the float32 without a logarithm.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tracer.engine.feature_index.bins import LOWEST, N_BINS
from tracer.record.arrays import Arrays

NOWHERE = -1
"""In place of a place that there is not."""
_STRIDE = 4
"""Where every feature is active, each so-many-th position of a window counts in histograms, as
counting takes longer than finding the strongest places, which is done at all positions."""
_SHIFT, _UNSIGNED = 22, 0x1FF
"""Of a float32's bits: those below the mantissa's first, and above them all but the sign."""
_FIRST_CODE = (127 + LOWEST) << 1
"""Exponent and mantissa's first bit of the first bin's lower bound."""


def layer_bytes(n_features: int, n_signs: int, n_places: int) -> int:
    """Memory that the tally of a layer takes."""
    return n_features * n_signs * (8 * n_places + 4 * N_BINS)


def stride_of(n_signs: int) -> int:
    """Positions from one that is counted in histograms to the next."""
    return 1 if n_signs == 1 else _STRIDE


class LayerTally:
    """One layer's places and counts; the signs are +, and − where there are two."""

    def __init__(self, n_features: int, n_signs: int, n_places: int, device: torch.device) -> None:
        shape = (n_features, n_signs, n_places)
        self.values = torch.zeros(shape, device=device)
        """|activation|, largest first; 0 where there is no place yet."""
        self.places = torch.full(shape, NOWHERE, dtype=torch.int32, device=device)
        counts = torch.zeros(n_features, n_signs, N_BINS, dtype=torch.int32, device=device)
        self.counts: Int[Tensor, "feature sign bin"] = counts

    @classmethod
    def of(cls, arrays: Arrays, device: torch.device) -> LayerTally:
        """What `arrays` gave."""
        n_features, n_signs, n_places = arrays["values"].shape
        found = cls(n_features, n_signs, n_places, device)
        for name, array in arrays.items():
            getattr(found, name).copy_(torch.tensor(array))
        return found

    def arrays(self) -> Arrays:
        """All of it, on the CPU."""
        names = ("values", "places", "counts")
        return {name: getattr(self, name).cpu().numpy() for name in names}

    def add(
        self, x: Float[Tensor, "window pos feature"], starts: Int[Tensor, " window"]
    ) -> Bool[Tensor, ""]:
        """Take in the activations of some windows; whether all of them are finite.

        Args:
            x: At the positions that count.
            starts: The place of each window's first such position.
        """
        x = x.float()
        ends = [x.amax(1), *([-x.amin(1)] if self.values.shape[1] > 1 else [])]
        for sign, best in enumerate(ends):
            self._keep(sign, x, best, starts)
        self._count(x[:, :: stride_of(len(ends))])
        return torch.stack(ends).isfinite().all()

    def _keep(
        self,
        sign: int,
        x: Float[Tensor, "window pos feature"],
        best: Float[Tensor, "window feature"],
        starts: Int[Tensor, " window"],
    ) -> None:
        """Put the windows' strongest places among those of the features that they are for."""
        rows = (best > self.values[:, sign, -1]).any(0).nonzero()[:, 0]
        if not len(rows):
            return
        values, pos = (-x[:, :, rows] if sign else x[:, :, rows]).max(1)
        places = starts[:, None] + pos.to(torch.int32)
        both = torch.cat([self.values[rows, sign], values.T], 1)
        where = torch.cat([self.places[rows, sign], places.T], 1)
        # The sort is stable: of equally strong windows the earlier one stays first.
        order = both.argsort(dim=1, descending=True, stable=True)[:, : self.values.shape[2]]
        self.values[rows, sign] = both.gather(1, order)
        self.places[rows, sign] = where.gather(1, order)

    def _count(self, x: Float[Tensor, "window pos feature"]) -> None:
        n_features, n_signs, _ = self.counts.shape
        feature = torch.arange(n_features, dtype=torch.int32, device=x.device)
        counted = x > 0 if n_signs == 1 else x != 0
        if bool(counted.all()):
            feature = feature.expand(x.shape)
        else:
            feature, x = feature.expand(x.shape)[counted], x[counted]
        bits = x.contiguous().view(torch.int32)
        bins = ((bits >> _SHIFT) & _UNSIGNED).sub_(_FIRST_CODE).clamp_(0, N_BINS - 1)
        bins += feature * (n_signs * N_BINS)
        if n_signs > 1:
            bins += torch.signbit(x).to(torch.int32) * N_BINS
        self.counts += _counted(bins.flatten(), self.counts.numel()).view(self.counts.shape)


def _counted(codes: Int[Tensor, " n"], n_codes: int) -> Int[Tensor, " code"]:
    """How often each of the numbers below `n_codes` is there; on the CPU numpy is faster."""
    if codes.device.type == "cpu":
        return torch.from_numpy(np.bincount(codes.numpy(), minlength=n_codes))
    return torch.bincount(codes, minlength=n_codes)
