import numpy as np
import pytest
import torch
import xarray as xr

from landscape_utils import RunSpec, interpolate, train
from landscape_utils.data.datasets import Dataset
from landscape_utils.plateau.plateau import class_flips, competition, plateau_length
from landscape_utils.sections.bias_plateau import study
from landscape_utils.training.runs import Run


def specs(seeds=(0, 1), **options):
    model_options = {"width": 6, "depth": 3, **options.pop("model_options", {})}
    how = {"epochs": 2, "lr": 0.05, "augment": False, **options}
    return [RunSpec(dataset="small", model="fcn", seed=s, model_options=model_options, **how) for s in seeds]


@pytest.fixture
def net(small: Dataset) -> study.Network:
    return study.network(specs(), images=12, data=small)


def test_a_network_knows_its_data_and_the_images_of_its_curves(net, small):
    assert net.name == "fcn on small"
    assert net.data is small
    assert (net.train.size, net.test.size) == (12, 12)


def test_a_variant_changes_the_architecture_alone(net):
    changed = net.variant(depth=2, bias=False)
    assert [s.model_options for s in changed.specs] == [{"width": 6, "depth": 2, "bias": False}] * 2
    assert [s.seed for s in changed.specs] == [0, 1]
    assert net.specs[0].model_options == {"width": 6, "depth": 3}


def test_elsewhere_takes_another_dataset_as_many_seeds_and_none_of_the_old_sizes():
    old = specs((3, 4), train_size=30, test_size=20, difficulty=0.5, image_size=16)
    moved = study.elsewhere(old, "digits", size=100, seeds=3)
    assert [s.seed for s in moved] == [3, 4, 5]
    own = {(s.dataset, s.train_size, s.test_size, s.difficulty, s.image_size) for s in moved}
    assert own == {("digits", 100, None, None, None)}
    assert [s.seed for s in study.elsewhere(old, "digits")] == [3, 4]


def test_small_weights_shrink_the_output_alike_at_every_depth(net):
    for depth, network in study.from_small_weights(net, [2, 4, 8]).items():
        options = network.specs[0].model_options
        assert options["bias"] == "last"
        assert options["init_scale"] ** depth == pytest.approx(study.VANISHING, rel=0.02)


@pytest.mark.parametrize("scheme", ["linear", "homogeneous"])
def test_ways_go_from_each_seeds_initialisation_to_its_solution(net, scheme):
    for way, run in zip(study.ways(net, "as it is", scheme, progress=False), net.runs(progress=False), strict=True):
        assert (way.seed, way.variant, way.scheme) == (run.spec.seed, "as it is", scheme)
        assert way.accuracy == pytest.approx(float(run.history.train_accuracy[-1]))
        for at, epoch in ((0, "initial"), (-1, "final")):
            model = run.model(epoch)
            logits = model(net.train.inputs)
            loss = torch.nn.functional.cross_entropy(logits, net.train.targets).item()
            assert float(way.curve.loss[at]) == pytest.approx(loss, rel=1e-4)


def test_variants_of_one_option_are_named_by_it(net):
    found = study.by_option(net, "init_scale", [1.0, 0.5])
    assert list(found) == ["init scale 1", "init scale 0.5"]
    assert [w.variant for w in found["init scale 0.5"]] == ["init scale 0.5"] * 2
    same = study.ways(net.variant(init_scale=0.5), progress=False)
    np.testing.assert_array_equal(study.lengths(found["init scale 0.5"], "loss"), study.lengths(same, "loss"))


def test_the_table_holds_every_curve_with_its_lengths(net):
    ways = study.every(
        {"a": {"": study.ways(net, progress=False)}, "b": {"": study.ways(net, "again", progress=False)}}
    )
    table = study.table(ways)
    assert [w.title for w in ways[::2]] == ["fcn on small", "fcn on small, again"]
    assert list(table["line"].values)[::2] == ["fcn on small, linear, seed 0", "fcn on small, again, linear, seed 0"]
    np.testing.assert_array_equal(table["loss"][1], ways[1].curve.loss)
    np.testing.assert_array_equal(table["plateau_mistake_rate"], study.lengths(ways))


def test_predictions_raise_the_largest_bias_and_nothing_else(small):
    fitted = study.network(specs(epochs=40, batch_size=12, model_options={"width": 16}), images=30, data=small)
    nets = study.from_small_weights(fitted, [2, 3])
    table = study.predictions(nets, gaps=(0.0, 0.5))
    assert dict(table.sizes) == {"depth": 2, "seed": 2, "gap": 2, "start": 4}
    net, run = nets[3], nets[3].runs(progress=False)[1]
    model = run.model()
    bias = model[-1].bias.detach().clone()
    bias[bias.argmax()] += 0.5
    with torch.no_grad():
        logits = model(net.train.inputs) - model[-1].bias + bias
    flips = class_flips(logits, bias, net.train.targets, 3)["alpha"].values
    others = np.delete(flips, int(bias.argmax()))
    here = table.sel(depth=3, seed=1, gap=0.5)
    np.testing.assert_allclose(here["first_flip"], others[np.isfinite(others)].min(), rtol=1e-5)
    end = {**model.state_dict(), f"{len(model) - 1}.bias": bias}
    curve = interpolate(model, run.weights("initial"), end, net.train, progress=False)
    assert 0 < float(here["measured"]) < 1
    assert float(here["measured"]) == pytest.approx(plateau_length(curve), rel=1e-5)
    expected = plateau_length(competition(logits, bias, net.train.targets, 3))
    assert float(here["predicted"]) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(table["shrunk"].sel(start=1), table["measured"].sel(gap=0), rtol=1e-5)
    np.testing.assert_allclose(table["shrunk"].sel(start=0), table["predicted"].sel(gap=0), rtol=1e-3)


def test_a_diverging_run_is_kept_as_one_that_does_not_fit(small):
    wild = study.network(specs((0, 1), lr=1e6, batch_size=4, epochs=5), images=12, data=small)
    assert wild.runs(progress=False) == [None, None]
    ways = study.ways(wild, progress=False)
    assert [(w.seed, w.accuracy) for w in ways] == [(0, 0.0), (1, 0.0)]
    assert np.isnan(study.lengths(ways, "loss")).all()
    table = study.table(ways)
    assert table["loss"].shape == (2, 51)
    assert np.isnan(table["violations_loss"]).all()
    assert np.isnan(study.predictions({3: wild})["measured"]).all()


def test_predictions_leave_out_what_does_not_fit(net, monkeypatch):
    monkeypatch.setattr(study, "FITTED", 1.01)
    assert np.isnan(study.predictions({3: net.variant(bias="last")})["predicted"]).all()


def test_predictions_need_a_bias_on_the_last_layer(net, monkeypatch):
    monkeypatch.setattr(study, "FITTED", 0.0)
    with pytest.raises(ValueError, match="has no bias on its last layer; build it with bias='last'"):
        study.predictions({3: net.variant(bias=False)})


def history(recalls, bias):
    """Make a run's history from recalls (epoch, class)."""
    recalls = np.asarray(recalls, dtype=float)
    rates = np.zeros((*recalls.shape, recalls.shape[1]))
    for c in range(recalls.shape[1]):
        rates[:, c, c] = recalls[:, c]
    names = [f"class{c}" for c in range(recalls.shape[1])]
    variables = {
        "train_cctm": (("epoch", "true", "predicted"), rates),
        "last_bias": (("epoch", "class"), np.tile(bias, (len(recalls), 1))),
    }
    return xr.Dataset(variables, coords={"class": names})


def test_a_class_is_learned_when_it_is_recognised_for_good(net):
    run = net.runs(progress=False)[0]
    recalls = [[0, 1.0, 0], [0.95, 0.2, 0.5], [0.9, 0.95, 0.89], [1, 1, 0.5]]
    made = Run(run.spec, run.shelf, run.about)
    made.__dict__["history"] = history(recalls, [0.1, 0.2, 0.3])
    order = study.learning_order(made)
    np.testing.assert_array_equal(order["epoch"], [1, 2, np.nan])
    np.testing.assert_allclose(order["bias"], [0.1, 0.2, 0.3])


def test_biases_are_sorted_by_the_order_of_learning_and_ties_share_their_mean():
    epochs = [[3.0, 1.0, 2.0], [2.0, 2.0, np.nan]]
    orders = xr.Dataset(
        {"epoch": (("seed", "class"), epochs), "bias": (("seed", "class"), [[0.3, 0.1, 0.2], [1, 3, 7]])}
    )
    ranked = study.bias_by_rank(orders)
    assert ranked["rank"].values.tolist() == [1, 2, 3]
    np.testing.assert_allclose(ranked, [[0.1, 0.2, 0.3], [2, 2, 7]])


def test_small_runs_take_other_images_for_each_seed_and_all_of_them_in_every_step(small_npz):
    first = [RunSpec(dataset=str(small_npz), model="fcn", augment=False, lr=0.1, model_options={"width": 6})]
    network = study.network(first, images=6)
    runs = study.small_runs(network, train_size=12, test_size=6, epochs=3, seeds=3)
    assert [(r.spec.seed, r.spec.data_seed, r.spec.batch_size) for r in runs] == [(0, 0, 12), (1, 1, 12), (2, 2, 12)]
    assert len({r.about["fingerprint"] for r in runs}) == 3
    orders = study.orders(runs)
    assert dict(orders.sizes) == {"seed": 3, "class": 3}


def test_outputs_are_the_models_at_both_ends(net):
    run = net.runs(progress=False)[0]
    logits = study.outputs(run, net.test, "linear", np.array([0.0, 1.0]))
    for at, epoch in ((0, "initial"), (1, "final")):
        model = run.model(epoch)
        with torch.no_grad():
            torch.testing.assert_close(logits[at], model(net.test.inputs), rtol=1e-4, atol=1e-5)


def test_a_trained_network_is_trained_once(net, monkeypatch):
    net.runs(progress=False)
    monkeypatch.setattr("landscape_utils.training.training._fit", None)
    assert [r.spec.seed for r in net.runs(progress=False)] == [0, 1]
    assert train(net.specs[0], data=net.data, progress=False).best_epoch >= 1
