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

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from landscape_utils.data.pairs import Pairs
from landscape_utils.engine import space
from landscape_utils.engine.class_gradients import mean_gradient
from landscape_utils.kit.errors import unknown
from landscape_utils.landscape.hessian import hessian_eigenpairs
from landscape_utils.landscape.mining import mine_peak, mine_vvv
from landscape_utils.training.runs import Epoch, Run

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
    """

    def __init__(
        self,
        model: nn.Module,
        data: Pairs,
        *,
        checkpoints: Mapping[str, Tensor] | None = None,
        fresh: Tensor | None = None,
        own: Mapping[str, Tensor] | None = None,
        k: int = 5,
        tol: float = 1e-2,
        seed: int = 0,
        peak: Mapping[str, Any] | None = None,
        vvv: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> None:
        """Name what there is to walk along.

        Args:
            model: theta, the perturbed model.
            data: on which gradients, eigenvectors and mined directions rest.
            checkpoints: weights (P,) of other models, by name.
            fresh: weights (P,) of an initialisation of its own, where algorithm 2 starts; without it there is no `vvv`.
            own: further directions (P,) by name.
            k, tol: eigenvectors at each end, and their tolerance, as in `hessian_eigenpairs`.
            seed: of the Gaussian directions and of mining.
            peak, vvv: settings of `mine_peak` and `mine_vvv`.
            progress: bars for what takes long.

        Raises:
            ValueError: a tensor of another shape or of complex numbers, or one of one's own under a name that is taken.
        """
        self.model, self.data = model, data
        self.weights = space.flatten(model)
        self._made: dict[str, Tensor] = {}
        self._checkpoints, self._fresh, self._own = dict(checkpoints or {}), fresh, dict(own or {})
        self._k, self._tol, self._seed, self._progress = k, tol, seed, progress
        self._peak, self._vvv = dict(peak or {}), {"alpha": 0.0, "gamma": 0.1, **(vvv or {})}
        for name, vector in {**self._checkpoints, **self._own}.items():
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
            other: an independent training of the same architecture; its initialisation is where algorithm 2 starts.
            how: further settings of `Directions`.
        """
        model = run.model(epoch)
        here = {"initial": 0, "best": run.best_epoch, "final": run.epochs[-1]}.get(str(epoch), epoch)
        to = {
            "init" if number == 0 else f"E={number}": space.flatten_state(run.weights(number), model)
            for number in run.epochs
            if number != here
        }
        fresh = None
        if other is not None:
            to |= {f"E'={n}": space.flatten_state(other.weights(n), model) for n in other.epochs if n}
            fresh = space.flatten_state(other.weights(0), model)
        return cls(model, data, checkpoints=to, fresh=fresh, **how)

    def __iter__(self) -> Iterator[str]:
        """List the names in the order of the paper's summary."""
        ends = [f"{end}.E.{i + 1}" for end in "PN" for i in range(self._k)]
        yield from ["Gau.", "Neg. Grad.", *self._checkpoints, *ends, "Mine"]
        yield from ["vvv"] if self._fresh is not None else []
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
        return hessian_eigenpairs(self.model, self.data, self._k, tol=self._tol, progress=self._progress)

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
            return -mean_gradient(self.model, self.data)
        if name == "Mine":
            return mine_peak(self.model, self.data, seed=self._seed, progress=self._progress, **self._peak).direction
        return self.towards(**self._vvv)

    def towards(self, alpha: float, gamma: float, **how: Any) -> Tensor:
        """Mine a direction by algorithm 2 at its two settings."""
        assert self._fresh is not None
        settings = {**{k: v for k, v in self._vvv.items() if k not in ("alpha", "gamma")}, **how}
        mined = mine_vvv(
            self.model,
            self.data,
            self._fresh.to(self.weights),
            alpha=alpha,
            gamma=gamma,
            seed=self._seed,
            progress=self._progress,
            **settings,
        )
        return mined.direction


Around = dict[str, dict[int, Directions]]  # by architecture and epoch of the perturbed model
