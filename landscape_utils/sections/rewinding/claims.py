"""What MG-7 and MG-8 ask of rewound networks, one number a seed.

The final network has most of the early-stopped accuracy to begin with. So two shares are asked for: of the
early-stopped accuracy, as the paper does, and of what was lost since. The paper's figures rewind convolutions;
ResNet18's last layer is taken to be its last convolution, for a linear layer rewound to its initialisation guesses.

A layer is looked at at its best rewind epoch, chosen on one half of the test images and measured on the other; which
late convolution it is, the other seeds choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from landscape_utils.kit import Floats
from landscape_utils.memorization.rewinding import ALL
from landscape_utils.sections.rewinding.study import best, final, settling
from landscape_utils.suite.claims import Judgement, judged, rank_correlation

SHARE = 0.9  # of the early-stopped accuracy; a final network that has so much leaves nothing to give back
RESNET = "resnet18"


def late_convolutions_give_it_back(tables: Mapping[str, xr.Dataset]) -> Judgement:
    """MG-7: what one convolution, rewound, gives back: a late one, the first, the last.

    Args:
        tables: from `by_layer`, by architecture; the first is judged, and ResNet18's part where it is among them.
    """
    peak = _peaks(tables[RESNET]) if RESNET in tables else f"there is no {RESNET} among the architectures"
    name, table = next(iter(tables.items()))
    convolutions = _convolutions(table)
    back = _Regained.of(table)
    reason = ""
    if len(convolutions) < 2:
        reason = f"{name} has no two convolutions"
    elif back.final.mean() >= SHARE * back.stopped.mean():
        reason = f"nothing to give back: {name} ends with {back.final.mean() / back.stopped.mean():.0%} of it"
    if reason:
        return judged("MG-7", late=reason, of_lost=reason, first=reason, last=reason, resnet18=peak)
    chosen = _chosen(back, convolutions[len(convolutions) // 2 :])
    late = np.array([back.by_layer[layer][seed] for seed, layer in enumerate(chosen)])
    lost = back.stopped - back.final
    return judged(
        "MG-7",
        late=late / back.stopped,
        of_lost=np.divide(late - back.final, lost, out=np.full(len(lost), np.nan), where=lost > 0),
        first=back.by_layer[convolutions[0]] / back.stopped,
        last=back.by_layer[convolutions[-1]] / back.stopped,
        resnet18=peak,
        note=_told(name, table, back, chosen),
    )


def early_layers_settle_later(tables: Mapping[str, xr.Dataset]) -> Judgement:
    """MG-8: how the epoch at which a convolution has settled goes with its depth (Spearman).

    Args:
        tables: from `by_layer`, by architecture; the first is judged.
    """
    table = next(iter(tables.values()))
    epochs = settling(table).sel(rewound=_convolutions(table)).values
    mean = ", ".join(f"{epoch:.1f}" for epoch in epochs.mean(0))
    return judged(
        "MG-8",
        rho=[rank_correlation(np.arange(len(row)), row) for row in epochs],
        note=f"Epochs by depth, means over seeds: {mean}.",
    )


# --- small things ------------------------------------------------------------------------------------------------


class _Regained(NamedTuple):
    """Test accuracies, one a seed: of the final network, the early-stopped one, and by layer."""

    final: Floats
    stopped: Floats
    by_layer: dict[str, Floats]

    @classmethod
    def of(cls, table: xr.Dataset) -> _Regained:
        at_best = best(table)["accuracy"].sel(subset="test")
        by_layer = {str(name): at_best.sel(rewound=name).values for name in at_best["rewound"].values}
        return cls(final(table).sel(subset="test").values, by_layer.pop(ALL), by_layer)


def _chosen(back: _Regained, layers: list[str]) -> list[str]:
    """Choose for each seed the layer that gives back most in the others; a single seed chooses for itself."""
    every = np.array([back.by_layer[layer] for layer in layers])
    others = (np.delete(every, seed, 1) if every.shape[1] > 1 else every for seed in range(every.shape[1]))
    return [layers[int(of.mean(1).argmax())] for of in others]


def _told(name: str, table: xr.Dataset, back: _Regained, chosen: list[str]) -> str:
    titles = dict(zip(table["rewound"].values.tolist(), table["title"].values.tolist(), strict=True))
    gives = sorted({titles[layer] for layer in chosen})
    shares = ", ".join(
        f"{titles[layer]} {np.mean(back.by_layer[layer] / back.stopped):.0%}" for layer in _convolutions(table)
    )
    return (
        f"{name}: early-stopped {back.stopped.mean():.1%}, final {back.final.mean():.1%}; late: {', '.join(gives)}. "
        f"Of the early-stopped accuracy, means over seeds: {shares}."
    )


def _convolutions(table: xr.Dataset) -> list[str]:
    return [str(n) for n, t in zip(table["rewound"].values, table["title"].values, strict=True) if "conv" in str(t)]


def _peaks(table: xr.Dataset) -> Floats:
    """Find the epoch to which the last convolution is best rewound, by seed."""
    curve = table["accuracy"].sel(subset="test", rewound=_convolutions(table)[-1])
    peaks: Floats = curve.idxmax("epoch").values.astype(float)
    return peaks
