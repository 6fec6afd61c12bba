import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape_utils as lu
from landscape_utils.data.datasets import Dataset
from landscape_utils.engine import space
from landscape_utils.landscape import directions as module
from landscape_utils.landscape.directions import Directions, Perturbed, is_checkpoint, means_by_seed
from landscape_utils.landscape.mining import peak_schedule
from landscape_utils.training.models import build_model
from landscape_utils.training.runs import Run


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("mlp", input_shape=(3, 8, 8), classes=3, width=4).double()


@pytest.fixture
def named(small: Dataset) -> Directions:
    model = network()
    to = {"E=3": space.flatten(network(1)), "init": space.flatten(network(2))}
    mining = {"epochs": 2, "lr": 0.05}
    own = {"mine": torch.ones_like(to["init"])}
    how = {"k": 2, "peak": mining, "vvv": mining, "progress": False}
    return Directions(model, small.train, checkpoints=to, starts={"fresh": space.flatten(network(3))}, own=own, **how)


def test_the_names_are_the_papers(named: Directions) -> None:
    expected = ["Gau.", "Neg. Grad.", "E=3", "init", "P.E.1", "P.E.2", "N.E.1", "N.E.2", "Mine", "vvv", "mine"]
    assert list(named) == expected
    assert len(named) == len(expected)
    assert "vvv" not in Directions(network(), named.data)
    assert "Gau.7" in named
    assert 3 not in named


def test_every_name_has_a_direction_of_the_models_shape(named: Directions) -> None:
    before = copy.deepcopy(named.model.state_dict())
    for name, direction in named.items():
        assert direction.shape == named.weights.shape, name
        assert direction.dtype == named.weights.dtype
        assert torch.isfinite(direction).all()
        assert named[name] is direction  # computed once
    assert all(torch.equal(v, before[k]) for k, v in named.model.state_dict().items())


def test_a_checkpoint_lies_at_one(named: Directions) -> None:
    torch.testing.assert_close(named.weights + named["E=3"], space.flatten(network(1)))
    assert [is_checkpoint(n) for n in ("init", "E=3", "E'=3", "vvv", "P.E.1", "Mine", "Gau.")] == [True] * 4 + [
        False
    ] * 3


def test_gaussian_draws_differ_and_are_seeded(named: Directions) -> None:
    assert torch.equal(named["Gau."], named["Gau.1"])
    assert not torch.equal(named["Gau."], named["Gau.2"])
    other = Directions(named.model, named.data, seed=1)
    assert torch.equal(other["Gau."], named["Gau.2"])


def test_the_negative_gradient_is_what_autograd_gives(named: Directions) -> None:
    model, (x, y) = named.model, named.data
    grads = torch.autograd.grad(nn.functional.cross_entropy(model(x.double()), y), list(model.parameters()))
    torch.testing.assert_close(named["Neg. Grad."], -torch.cat([g.reshape(-1) for g in grads]), rtol=1e-9, atol=1e-12)


def test_eigenvectors_come_from_the_spectrum(named: Directions) -> None:
    spectrum = named.spectrum
    row = list(spectrum["rank"].values).index("N.E.1")
    np.testing.assert_allclose(named["N.E.1"], spectrum["eigenvector"].values[row])
    assert named["N.E.1"].norm() == pytest.approx(1)


def test_an_unknown_name_is_told_the_nearest(named: Directions) -> None:
    with pytest.raises(ValueError, match=r"P\.E\.1"):
        named["P.E1"]
    for kind in (KeyError, ValueError):
        with pytest.raises(kind, match=r"^unknown direction 'N\.E\.3'"):
            named["N.E.3"]


def test_only_a_value_that_is_asked_for_is_computed_and_with_a_bar(
    named: Directions, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    def slow(*given: object, progress: bool, **how: object) -> object:
        bars.append(progress)
        return type("Mined", (), {"direction": named.weights})

    for name in ("mine_peak", "mine_vvv"):
        monkeypatch.setattr(module, name, slow)
    how = {"starts": {"fresh": named.weights}, "k": 1, "peak": {"lr": 1.0, "epochs": 1}}
    directions = Directions(named.model, named.data, **how)
    assert all(name in directions for name in directions)
    assert {"Mine", "vvv"} <= set(directions.keys())
    assert [directions.get(name) for name in ("mine", "N.E.2", "", 3)] == [None] * 4
    assert directions.get("E=7", 0) == 0
    assert bars == []
    spectrum = named.spectrum
    monkeypatch.setattr(module, "hessian_eigenpairs", lambda *given, **how: slow(**how) and spectrum)
    assert set(dict(directions)) == set(directions)
    assert bars == [True] * 3  # the eigenvectors come together


def test_ones_own_tensor_needs_the_shape_and_a_name_of_its_own(named: Directions) -> None:
    with pytest.raises(ValueError, match="mine has shape"):
        Directions(named.model, named.data, own={"mine": torch.ones(3)})
    with pytest.raises(ValueError, match=r"mine has shape .* and type torch.complex128"):
        Directions(named.model, named.data, own={"mine": named.weights * 1j})
    for name in ("Gau.2", "N.E.9", "vvv", "E=3"):
        with pytest.raises(ValueError, match="have a meaning already"):
            Directions(
                named.model, named.data, checkpoints={"E=3": named.weights}, own={name: torch.ones_like(named.weights)}
            )


def test_around_a_run_its_checkpoints_and_those_of_another_are_named(small: Dataset) -> None:
    runs: list[Run] = [
        lu.train(
            lu.RunSpec(dataset="small", model="mlp", seed=s, epochs=3, checkpoints=[1]), data=small, progress=False
        )
        for s in (0, 1)
    ]
    here = Directions.around(runs[0], 1, small.train, other=runs[1], k=1)
    named = ["init", "E=3", "E'=1", "E'=3"]  # whichever epoch was the best on the test images, nobody asked for it
    assert list(here) == ["Gau.", "Neg. Grad.", *named, "P.E.1", "N.E.1", "Mine", "vvv"]

    def weights(run: Run, epoch: int) -> Tensor:
        return space.flatten(run.model(epoch))

    torch.testing.assert_close(here.weights + here["E'=3"], weights(runs[1], 3))
    torch.testing.assert_close(here.weights + here["init"], weights(runs[0], 0))
    assert "E=3" not in Directions.around(runs[0], "final", small.train)


def test_the_second_model_starts_where_it_is_told(named: Directions, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def mine(model: nn.Module, data: object, phi: Tensor, **how: object) -> object:
        seen.append((phi, how))
        return type("Mined", (), {"direction": phi - named.weights})

    monkeypatch.setattr(module, "mine_vvv", mine)
    starts = {"independent": named.weights + 1, "fresh": named.weights + 2}
    here = Directions(named.model, named.data, starts=starts, vvv={"epochs": 2, "lr": 0.05})
    assert torch.equal(here["vvv"], starts["independent"] - named.weights)
    assert torch.equal(here.towards(0.1, 0.5, "fresh"), starts["fresh"] - named.weights)
    assert [(h["alpha"], h["gamma"], h["epochs"]) for _, h in seen] == [(0.0, 0.1, 2), (0.1, 0.5, 2)]
    with pytest.raises(ValueError, match=r"start 'frsh'.*fresh"):
        here.towards(0.1, 0.5, "frsh")


def test_around_a_run_the_second_model_starts_at_the_other_solution_or_afresh(small: Dataset) -> None:
    specs = [lu.RunSpec(dataset="small", model="mlp", seed=s, epochs=1) for s in (0, 1)]
    run, other = (lu.train(spec, data=small, progress=False) for spec in specs)
    here = Directions.around(run, 1, small.train, other=other)
    for name, epoch in (("independent", 1), ("fresh", 0)):
        torch.testing.assert_close(here._starts[name], space.flatten(other.model(epoch)))


def test_where_nothing_is_told_the_spectrum_sets_the_mining(named: Directions, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def mine(model: nn.Module, data: object, **how: object) -> object:
        seen.append(how)
        return type("Mined", (), {"direction": named.weights})

    monkeypatch.setattr(module, "mine_peak", mine)
    here = Directions(named.model, named.data, k=2, peak={"batch_size": 20}, bn="batch", progress=False)
    here.mined_peak()
    batches = -(-named.data.size // 20)
    rate, epochs = peak_schedule(here.spectrum.eigenvalue, batches)
    assert [(h["lr"], h["epochs"], h["batch_size"], h["bn"]) for h in seen] == [(rate, epochs, 20, "batch")]
    given = Directions(named.model, named.data, peak={"lr": 0.3, "epochs": 7})
    given.mined_peak()
    assert (seen[-1]["lr"], seen[-1]["epochs"]) == (0.3, 7)
    assert "spectrum" not in vars(given)  # nothing was computed for it


def test_means_are_over_a_networks_own_numbers_first() -> None:
    numbers = {
        Perturbed("mlp", 1, 5, "early"): [1.0, 3.0],
        Perturbed("resnet8", 1, 5, "early"): 6.0,
        Perturbed("mlp", 0, 5, "early"): 7.0,
    }
    assert means_by_seed(numbers) == [7.0, 4.0]
