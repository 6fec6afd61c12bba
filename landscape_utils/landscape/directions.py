"""Directions in weight space by the names that figures, panels and code share.

    Gau., Gau.2, Gau.3 ...   independent standard normal entries
    Neg. Grad.               minus the gradient of the mean loss
    E=<epoch>, init          to another checkpoint of the same training, or to its initialisation
    E'=<epoch>               to a checkpoint of an independent training
    P.E.1, N.E.1 ...         eigenvectors of the Hessian's largest and smallest eigenvalues
    Mine                     mined by algorithm 1, for loss that falls on both sides
    vvv                      mined by algorithm 2, towards a second model
    anything else            a tensor of one's own

Mining the loss landscape, appendix A.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs, resident
from landscape_utils.engine import space
from landscape_utils.engine.class_gradients import mean_gradient
from landscape_utils.engine.derivatives import BatchNormStatistics
from landscape_utils.kit.errors import unknown
from landscape_utils.landscape.hessian import hessian_eigenpairs
from landscape_utils.landscape.mining import mine_peak, mine_vvv, peak_schedule
from landscape_utils.training.runs import Epoch, Run

Stage = Literal["initial", "early", "middle", "late"]
GAUSSIAN = re.compile(r"Gau\.(\d*)")
EIGEN = re.compile(r"([PN])\.E\.(\d+)")


def is_checkpoint(name: str) -> bool:
    """Check whether a direction leads to another model, which lies at lambda = 1."""
    return name in ("init", "vvv") or name.startswith(("E=", "E'="))


class UnknownDirection(KeyError, ValueError):
    """A name without a direction: what a mapping raises, and what the package raises for a wrong argument."""

    __str__ = ValueError.__str__  # KeyError's would quote the sentence


class Directions(Mapping[str, Tensor]):
    """Every direction around one model, computed when it is first asked for; tensors of shape (P,).

    Checkpoint directions lead all the way, theta + 1 d is the checkpoint; eigenvectors have norm 1; the others are
    as they come. Names may be listed, looked up, and asked for by `in`, as in any mapping; further Gaussian draws are
    not listed. Listing names computes nothing; looking up Mine, vvv or an eigenvector (as all values are) may take
    minutes, with a bar that says for what.

    Attributes:
        model: theta, the perturbed model, of weights `weights`, shape (P,).
        data: on which directions rest.
        bn: whether they rest on kept BatchNorm statistics or on the batch's.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Pairs,
        *,
        checkpoints: Mapping[str, Tensor] | None = None,
        starts: Mapping[str, Tensor] | None = None,
        own: Mapping[str, Tensor] | None = None,
        k: int = 5,
        tol: float = 1e-2,
        seed: int = 0,
        bn: BatchNormStatistics = "keep",
        peak: Mapping[str, Any] | None = None,
        vvv: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        """Name what there is to walk along.

        Args:
            model: theta, the perturbed model.
            data: on which gradients, eigenvectors and mined directions rest.
            checkpoints: weights (P,) of other models, by name.
            starts: weights (P,) where algorithm 2 may start, by name; `vvv` takes the first, and needs one.
            own: further directions (P,) by name.
            k, tol: eigenvectors at each end, and their tolerance, as in `hessian_eigenpairs`.
            seed: of the Gaussian directions and of mining.
            bn: of gradient, Hessian and `Mine`: `keep` BatchNorm's statistics, for curves with No UpBN, or take the
                `batch`'s, for curves with UpBN.
            peak, vvv: settings of `mine_peak` and `mine_vvv`; where the peak's lack an `lr` or `epochs`,
                `peak_schedule` chooses them.
            progress: bars for what takes long.

        Raises:
            ValueError: a tensor of another shape or of complex numbers, or one of one's own under a name that is taken.
        """
        self.model, self.data = model, data
        self.weights = space.flatten(model)
        self._made: dict[str, Tensor] = {}
        self._checkpoints, self._starts, self._own = dict(checkpoints or {}), dict(starts or {}), dict(own or {})
        self._k, self._tol, self._seed, self.bn, self._progress = k, tol, seed, bn, progress
        self._peak, self._vvv = dict(peak or {}), {"alpha": 0.0, "gamma": 0.1, **(vvv or {})}
        for name, vector in {**self._checkpoints, **self._starts, **self._own}.items():
            if vector.shape != self.weights.shape or vector.is_complex():
                raise ValueError(
                    f"{name} has shape {tuple(vector.shape)} and type {vector.dtype}; this model's have shape "
                    f"{tuple(self.weights.shape)} and real numbers"
                )
        taken = sorted(name for name in self._own if name in self._checkpoints or self._is_reserved(name))
        if taken:
            raise ValueError(f"{', '.join(taken)}: these names have a meaning already; choose others for your own")

    @classmethod
    def around(cls, run: Run, epoch: Epoch, data: Pairs, *, other: Run | None = None, **how: Any) -> Directions:
        """Name the directions around a checkpoint of a run: to its other checkpoints, and to those of another run.

        Args:
            run: of the perturbed model.
            epoch: of the perturbed model.
            data: as for `Directions`.
            other: an independent training of the same architecture; algorithm 2 starts at its `independent` solution,
                or at its `fresh` initialisation.
            how: further settings of `Directions`.
        """
        model = run.model(epoch)
        here = {"initial": 0, "best": run.best_epoch, "final": run.epochs[-1]}.get(str(epoch), epoch)
        to = {
            "init" if number == 0 else f"E={number}": space.flatten_state(run.weights(number), model)
            for number in (0, *_asked_for(run))
            if number != here
        }
        starts = {}
        if other is not None:
            to |= {f"E'={n}": space.flatten_state(other.weights(n), model) for n in _asked_for(other)}
            ends = {"independent": other.epochs[-1], "fresh": 0}
            starts = {name: space.flatten_state(other.weights(n), model) for name, n in ends.items()}
        return cls(model, data, checkpoints=to, starts=starts, **how)

    def __iter__(self) -> Iterator[str]:
        """List the names in the order of the paper's summary."""
        ends = [f"{end}.E.{i + 1}" for end in "PN" for i in range(self._k)]
        yield from ["Gau.", "Neg. Grad.", *self._checkpoints, *ends, "Mine"]
        yield from ["vvv"] if self._starts else []
        yield from self._own

    def __len__(self) -> int:
        """Count the names that are listed."""
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        """Check whether a name has a direction here; nothing is computed."""
        return isinstance(name, str) and (name in list(iter(self)) or GAUSSIAN.fullmatch(name) is not None)

    def __getitem__(self, name: str) -> Tensor:
        """Return a direction, shape (P,).

        Raises:
            UnknownDirection: an unknown name; the nearest ones are given.
        """
        if name not in self:
            raise UnknownDirection(*unknown("direction", name, list(self)).args)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    @cached_property
    def spectrum(self) -> xr.Dataset:
        """Find the Hessian's eigenpairs at both ends."""
        how: dict[str, Any] = {"tol": self._tol, "bn": self.bn, "progress": self._progress}
        return hessian_eigenpairs(self.model, self.data, self._k, **how)

    def _is_reserved(self, name: str) -> bool:
        return bool(GAUSSIAN.fullmatch(name) or EIGEN.fullmatch(name)) or name in ("Neg. Grad.", "Mine", "vvv")

    def _make(self, name: str) -> Tensor:
        if match := GAUSSIAN.fullmatch(name):
            return space.gaussian_direction(self.model, seed=self._seed + int(match[1] or 1) - 1)
        if name in self._checkpoints:
            return self._checkpoints[name].to(self.weights) - self.weights
        if name in self._own:
            return self._own[name].to(self.weights)
        if EIGEN.fullmatch(name):
            vector = self.spectrum["eigenvector"].sel(rank=name).values
            return torch.as_tensor(vector).to(self.weights)
        if name == "Neg. Grad.":
            return -mean_gradient(self.model, self.data, bn=self.bn)
        if name == "Mine":
            return self.mined_peak()
        return self.towards(**self._vvv)

    def mined_peak(self) -> Tensor:
        """Mine a direction by algorithm 1."""
        settings: dict[str, Any] = {"batch_size": 128, "bn": self.bn, "seed": self._seed, **self._peak}
        if "lr" not in settings or "epochs" not in settings:
            inputs, _ = resident(self.model, self.data)
            batches = math.ceil(len(inputs) / settings["batch_size"])
            rate, epochs = peak_schedule(self.spectrum["eigenvalue"].values, batches)
            settings = {"lr": rate, "epochs": epochs, **settings}
        return mine_peak(self.model, self.data, progress=self._progress, **settings).direction

    def towards(self, alpha: float, gamma: float, start: str | None = None, **how: Any) -> Tensor:
        """Mine a direction by algorithm 2 at its two settings, from one of the places where it may start.

        Raises:
            ValueError: an unknown start; the names are given.
        """
        start = start or next(iter(self._starts))
        if start not in self._starts:
            raise unknown("start", start, self._starts)
        settings = {**{k: v for k, v in self._vvv.items() if k not in ("alpha", "gamma", "start")}, **how}
        mined = mine_vvv(
            self.model,
            self.data,
            self._starts[start].to(self.weights),
            alpha=alpha,
            gamma=gamma,
            seed=self._seed,
            progress=self._progress,
            **settings,
        )
        return mined.direction


def _asked_for(run: Run) -> list[int]:
    """List the epochs that were to be kept, and the last: not the initialisation, nor the best by test accuracy."""
    return sorted({*run.spec.kept_epochs(), run.epochs[-1]} - {0})


class Perturbed(NamedTuple):
    """A perturbed model.

    Attributes:
        architecture, seed: of its training.
        epoch: of the checkpoint.
        stage: initial, early, middle or late.
    """

    architecture: str
    seed: int
    epoch: int
    stage: Stage

    def __str__(self) -> str:
        """Name it as the paper's titles do."""
        return f"{self.architecture}, E={self.epoch}"


HERE = Perturbed("", 0, 0, "late")  # a model of which nothing else is known
Around = dict[Perturbed, Directions]


def means_by_seed(numbers: Mapping[Perturbed, Any]) -> list[float]:
    """Average over each seed's networks, in the order of the seeds.

    Args:
        numbers: by perturbed model, one or several.
    """
    found: dict[int, dict[str, list[float]]] = {}
    for place, of in numbers.items():
        found.setdefault(place.seed, {}).setdefault(place.architecture, []).append(float(np.mean(of)))
    return [float(np.mean([np.mean(of) for of in found[seed].values()])) for seed in sorted(found)]
