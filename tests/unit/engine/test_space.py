import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from landscape_utils.engine import space


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    return net.double()


def groups(model: nn.Module, how: str) -> list[list[int]]:
    """List the positions of each group's entries, by plain loops."""
    found, at = [], 0
    for p in model.parameters():
        rows = len(p) if how == "filter" and p.ndim > 1 else 1
        size = p.numel() // rows
        found += [list(range(at + r * size, at + (r + 1) * size)) for r in range(rows)]
        at += p.numel()
    return [[i for group in found for i in group]] if how == "global" else found


def test_flatten_and_split_are_inverse(model: nn.Module) -> None:
    vector = space.flatten(model)
    for part, p in zip(space.split(vector, model), model.parameters(), strict=True):
        assert torch.equal(part, p)
    assert torch.equal(space.flatten_state(model.state_dict(), model), vector)
    with pytest.raises(ValueError, match=r"direction has shape \(3,\); this model's are flat"):
        space.split(torch.zeros(3), model)
    with pytest.raises(ValueError, match=r"has nothing for 0.weight"):
        space.flatten_state({}, model)


@pytest.mark.parametrize("how", space.NORMALISATIONS)
def test_each_group_gets_the_norm_of_its_weights(model: nn.Module, how: str) -> None:
    d, w = space.gaussian_direction(model), space.flatten(model)
    scaled = space.normalise(d, model, how)
    for group in groups(model, how):
        expected = d[group] * (w[group].norm() / d[group].norm())
        torch.testing.assert_close(scaled[group], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("how", [*space.NORMALISATIONS, None])
@pytest.mark.parametrize("leave_out", [False, True])
@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_directions_stay_orthogonal_after_normalising(how: str | None, leave_out: bool, seed: int) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    d1, d2 = (space.gaussian_direction(net, seed=s) for s in (seed, seed + 5000))
    one = space.normalise(d1, net, how, leave_out_1d=leave_out)
    two = space.normalise(d2, net, how, leave_out_1d=leave_out, orthogonal_to=d1)
    assert torch.isfinite(two).all()
    assert abs(float(one @ two)) < 1e-10 * float(one.norm() * two.norm())
    if how is not None:  # the norms are right too, but where a group has no second dimension
        for group in groups(net, how):
            wanted = space.normalise(d2, net, how, leave_out_1d=leave_out)[group].norm()
            assert len(group) == 1 or float(abs(two[group].norm() - wanted)) < 1e-9


def test_a_one_number_group_parallel_to_the_other_is_zero_and_not_rounding() -> None:
    net = nn.Linear(1, 1)
    two = space.normalise(torch.tensor([0.3, 0.7]), net, "layer", orthogonal_to=torch.tensor([1.7, 0.1]))
    assert two.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("how", [*space.NORMALISATIONS, None])
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_what_diverged_stays_and_leaves_no_trace_elsewhere(how: str | None, data: st.DataObject) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).double()
    places = list(range(sum(p.numel() for p in net.parameters())))
    bad = data.draw(st.sets(st.sampled_from(places), min_size=1))
    value = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    d, other = space.gaussian_direction(net, seed=1), space.gaussian_direction(net, seed=2)
    diverged = d.index_fill(0, torch.tensor(sorted(bad)), value)
    for orthogonal_to in (None, other):  # a direction that diverged never becomes one of zeros
        assert not space.normalise(diverged, net, how, orthogonal_to=orthogonal_to)[sorted(bad)].isfinite().any()
    beside, free = space.normalise(d, net, how, orthogonal_to=diverged), space.normalise(d, net, how)
    finite_other = diverged.clone()
    for group in groups(net, how or "global"):
        if bad & set(group):
            assert torch.equal(beside[group], free[group])
            finite_other[group] = 0
    assert torch.equal(beside, space.normalise(d, net, how, orthogonal_to=finite_other))


@pytest.mark.parametrize("how", space.NORMALISATIONS)
def test_zero_norms_stay_finite(how: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))  # a fresh BatchNorm's biases are zero
    scaled = space.normalise(space.gaussian_direction(net), net, how)
    assert torch.isfinite(scaled).all()
    if how != "global":
        assert scaled[-2:].tolist() == [0.0, 0.0]
    assert space.normalise(torch.zeros_like(scaled), net, how).abs().sum() == 0


def test_one_dimensional_parameters_can_be_left_out(model: nn.Module) -> None:
    parts = space.split(space.normalise(space.gaussian_direction(model), model, "filter", leave_out_1d=True), model)
    for part, p in zip(parts, model.parameters(), strict=True):
        assert bool((part == 0).all()) == (p.ndim == 1)


@given(
    groups=st.integers(1, 3),
    ins=st.integers(1, 2),
    outs=st.integers(1, 3),
    dim=st.integers(1, 3),
    weight_norm=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_a_filter_of_a_transposed_convolution_is_an_output_channel(
    groups: int, ins: int, outs: int, dim: int, weight_norm: bool
) -> None:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dim - 1]
    net = kind(groups * ins, groups * outs, 2, groups=groups, bias=False).double()
    if weight_norm:
        nn.utils.parametrizations.weight_norm(net)
    d, other = space.gaussian_direction(net, seed=1), space.gaussian_direction(net, seed=2)
    scaled = space.split(space.normalise(d, net, "filter", orthogonal_to=other), net)[-1]
    w, o = list(net.parameters())[-1].detach(), space.split(other, net)[-1]
    for channel in range(groups * outs):  # what one output channel reads: its group's inputs
        rows, column = slice(channel // outs * ins, (channel // outs + 1) * ins), channel % outs
        assert float(scaled[rows, column].norm()) == pytest.approx(float(w[rows, column].norm()))
        assert abs(float((scaled[rows, column] * o[rows, column]).sum())) < 1e-10


class Lone(nn.Module):
    """Parameters of the given kinds, and nothing else."""

    def __init__(self, **kinds: torch.dtype) -> None:
        super().__init__()
        for name, dtype in kinds.items():
            setattr(self, name, nn.Parameter(torch.ones(2, dtype=dtype), requires_grad=False))


KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int8, torch.int64)


@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_only_parameters_of_one_floating_type_make_a_direction(kinds: list[torch.dtype]) -> None:
    net = Lone(**{f"p{i}": kind for i, kind in enumerate(kinds)})
    vector = space.flatten(net)
    assert vector.tolist() == [1] * (2 * len(kinds))
    calls = (
        lambda: space.check_parameters(net),
        lambda: space.gaussian_direction(net),
        lambda: space.split(vector.abs(), net),
        lambda: space.flatten_state(net.state_dict(), net),
        lambda: space.normalise(vector.abs(), net, "filter"),
    )
    for call in calls:
        if len(set(kinds)) == 1 and kinds[0].is_floating_point:
            call()
            continue
        with pytest.raises(ValueError, match="parameters of several types, or of no real one") as caught:
            call()
        assert all(f"is {kind}" in str(caught.value) for kind in kinds)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (nn.Linear(2, 2, device="meta"), "weight has no values yet"),
        (nn.LazyLinear(2), "weight has no shape yet; run the model once"),
        (nn.ReLU(), "the model has no parameters"),
    ],
)
def test_parameters_that_are_not_there_get_a_sentence(model: nn.Module, sentence: str) -> None:
    for call in (space.check_parameters, space.flatten, space.gaussian_direction):
        with pytest.raises(ValueError, match=sentence):
            call(model)


def test_a_complex_direction_is_not_cut(model: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"the direction is torch.complex128"):
        space.normalise(space.flatten(model) * 1j, model, "layer")


def test_unknown_normalisations_are_refused(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="unknown normalisation 'filters'; the nearest valid names are: filter"):
        space.normalise(space.flatten(model), model, "filters")  # type: ignore[arg-type]


def test_gaussian_directions_depend_on_the_seed_alone(model: nn.Module) -> None:
    one, again, other = (space.gaussian_direction(model, seed=s) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.dtype == torch.float64


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_three_models_lie_on_their_plane(seed: int) -> None:
    a, b, c = torch.randn(3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    plane = space.plane_through(a, b, c)
    for model, (x, y) in zip((a, b, c), plane.points.tolist(), strict=True):
        torch.testing.assert_close(plane.origin + x * plane.first + y * plane.second, model, rtol=0, atol=1e-10)
    assert abs(float(plane.first @ plane.second)) < 1e-12
    (low1, high1), (low2, high2) = plane.span()
    assert low1 < float(plane.points[:, 0].min()) < float(plane.points[:, 0].max()) < high1
    assert low2 < float(plane.points[:, 1].min()) < float(plane.points[:, 1].max()) < high2


def test_three_models_on_a_line_have_no_plane() -> None:
    a = torch.randn(10)
    for third in (a + 3, a + 1, a):
        with pytest.raises(ValueError, match="on one line"):
            space.plane_through(a, a + 1, third)
    with pytest.raises(ValueError, match="on one line"):
        space.trajectory_plane([a, a + 1, a + 3])
    with pytest.raises(ValueError, match="2 checkpoints span no plane"):
        space.trajectory_plane([a, a + 1])


@given(value=st.sampled_from([np.nan, np.inf, -np.inf]), which=st.integers(0, 2))
def test_a_plane_through_a_model_that_diverged_is_refused(value: float, which: int) -> None:
    models = list(torch.eye(3))
    models[which] = models[which].index_fill(0, torch.tensor([1]), value)
    for call in (lambda: space.plane_through(*models), lambda: space.trajectory_plane(models)):
        with pytest.raises(ValueError, match=f"model {which} of the plane has weights that are not finite"):
            call()


def test_the_trajectory_plane_is_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.decomposition import PCA

    monkeypatch.setattr(space, "CHUNK", 7)  # more chunks than one
    path = torch.cumsum(torch.randn(8, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), 0)
    plane = space.trajectory_plane(list(path))
    pca = PCA(2).fit(path.numpy())
    expected = pca.transform(path.numpy()) - pca.transform(path[-1:].numpy())
    np.testing.assert_allclose(np.abs(plane.points.numpy()), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(plane.explained.numpy(), pca.explained_variance_ratio_, rtol=1e-10)
    assert torch.equal(plane.origin, path[-1])
    assert plane.points[-1].tolist() == [0.0, 0.0]
    assert abs(float(plane.first @ plane.second)) < 1e-10
