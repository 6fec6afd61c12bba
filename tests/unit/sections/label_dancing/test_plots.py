import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.quiver import Quiver

from landscape_utils.interference import dancing
from landscape_utils.sections.label_dancing import plots as pictures
from landscape_utils.suite.plots import to_png
from tests.unit.interference.test_dancing import CIFAR10, movie_of, random_movie


@pytest.fixture(scope="module")
def rates() -> xr.DataArray:
    return movie_of(random_movie(30, 10, 0, images=40).values, CIFAR10)


def arrows(ax: plt.Axes) -> dict[str, list[tuple[float, float]]]:
    found = [c for c in ax.collections if isinstance(c, Quiver)]
    kinds = {to_rgba(colour): kind for kind, (colour, _) in pictures.EVENTS.items()}
    return {kinds[tuple(q.get_facecolor()[0])]: [(x, y) for x, y in np.asarray(q.get_offsets())] for q in found}


def legend(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_event_has_its_arrow_at_the_first_classs_recall(rates: xr.DataArray) -> None:
    events = dancing.dance_events(rates, "cat", "dog")
    got = arrows(pictures.recall_dance(rates, "cat", "dog"))
    for kind in (dancing.PARTNER, dancing.THIRD):
        epochs = events.epoch.values[events.kind.values == kind]
        assert len(epochs)
        assert got[kind] == [(t, pytest.approx(float(rates.sel(epoch=t, true="cat", predicted="cat")))) for t in epochs]


def test_the_range_of_epochs_cuts_lines_and_arrows_but_finds_no_other_events(rates: xr.DataArray) -> None:
    events = dancing.dance_events(rates, "cat", "dog")
    first, last = int(events.epoch[1]), int(events.epoch[4])
    ax = pictures.recall_dance(rates, "cat", "dog", epochs=(first, last))
    shown = sorted(x for places in arrows(ax).values() for x, _ in places)
    assert shown == events.epoch.values[1:5].tolist()
    assert ax.lines[0].get_xdata().tolist() == list(range(first, last + 1))
    assert ax.get_xlim() == (first - 0.5, last + 0.5)


def test_axes_and_lines_have_names_and_epoch_0_is_not_drawn(rates: xr.DataArray) -> None:
    ax = pictures.recall_dance(rates, "cat", "dog")
    assert legend(ax)[:4] == ["recall of cat", "recall of dog", "dog interferes", "third class interferes"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "training recall")
    assert ax.lines[0].get_xdata()[0] == 1
    below = pictures.error_row(rates, "cat", "dog")
    assert legend(below)[0] == "cat as dog"
    assert legend(below)[-1] == "as another class"
    assert below.get_ylabel() == "share of images of cat"
    named = set(dancing.dance_events(rates, "cat", "dog").interferer.values) - {"dog"}
    assert {text.removeprefix("cat as ") for text in legend(below)[1:-1]} <= named
    assert len(below.lines) == 8 + 1 + len(legend(below)[1:-1]) + 2  # others, partner, third classes, two markers


def test_mirror_images_are_shaded() -> None:
    wave = np.random.default_rng(0).uniform(0.2, 0.8, 26)
    values = np.stack([np.array([[w, 1 - w], [w, 1 - w]]) for w in wave])
    ax = pictures.recall_dance(movie_of(values), "a", "b")
    assert "mirror images" in legend(ax)
    (patch,) = ax.patches
    assert (patch.get_x(), patch.get_x() + patch.get_width()) == (1, 25)
    still = pictures.recall_dance(movie_of(values[:5]), "a", "b")
    assert not still.patches
    assert "mirror images" not in legend(still)


def test_notes_sit_on_the_names_of_their_classes(rates: xr.DataArray) -> None:
    changed = rates.copy()
    changed[3, 3] = np.eye(10)[3]  # a silent epoch
    notes = dancing.dancing_notes(changed)
    ax = pictures.notes_of(notes, "cat", "dog")
    labels = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert labels[-2] == "none > 0.1%"
    drawn = {x: labels[y] for line in ax.lines[1:] for x, y in zip(*line.get_data(), strict=True)}
    silent = {-2: "none > 0.1%"}
    assert drawn == {
        int(t): silent.get(int(n)) or CIFAR10[int(n)]
        for t, n in zip(notes.epoch.values, notes.sel(true="cat").values, strict=True)
    }
    assert drawn[3] == "none > 0.1%"
    assert {labels[y] for y in ax.lines[1].get_ydata()} == {"dog"}
    assert ax.get_title() == "notes of cat (dog as crosses)"


def test_of_many_classes_only_those_that_sound_have_a_line() -> None:
    names = tuple(f"class{i}" for i in range(100))
    rng = np.random.default_rng(0)
    values = np.eye(100)[None].repeat(9, 0)
    sounding = rng.choice(np.arange(5, 100), 8)
    for t, c in enumerate(sounding, 1):
        values[t, 0, 0], values[t, 0, c] = 0.5, 0.5
    ax = pictures.notes_of(dancing.dancing_notes(movie_of(values, names)), 0, 1)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["none > 0.1%", *(f"class{c}" for c in sorted(set(sounding)))]


def test_two_classes_notes_share_their_lines_and_stay_apart(rates: xr.DataArray) -> None:
    notes = dancing.dancing_notes(rates)
    ax = pictures.notes_together(notes, "cat", "dog", epochs=(5, 20))
    for line, name, shift in zip(ax.lines[1:], ("cat", "dog"), (0.2, -0.2), strict=True):
        x, y = line.get_data()
        assert x.tolist() == list(range(5, 21))
        np.testing.assert_allclose(np.asarray(y) - shift, notes.sel(true=name, epoch=slice(5, 20)))
    assert legend(ax) == ["notes of cat", "notes of dog"]


def test_a_pair_has_both_its_notes_in_a_row(rates: xr.DataArray) -> None:
    figure = pictures.note_sheets(
        dancing.dancing_notes(rates), [("cat", "dog"), ("automobile", "truck")], note="40 images"
    )
    titles = [ax.get_title().split(" (")[0] for ax in figure.axes]
    assert titles == ["notes of cat", "notes of dog", "notes of automobile", "notes of truck"]
    assert figure.get_supxlabel() == "40 images"


def test_strips_show_every_correlation_and_the_mean() -> None:
    groups = {"pairs": np.array([-0.5, -0.3]), "others": np.array([0.1, 0.2, 0.3]), "nobody": np.array([])}
    ax = pictures.correlation_strips(groups, marked=["pairs"])
    dots = [sorted(np.asarray(c.get_offsets())[:, 1]) for c in ax.collections if len(c.get_offsets()) > 1]
    assert dots == [[-0.5, -0.3], [0.1, 0.2, 0.3]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["pairs\n(2)", "others\n(3)", "nobody\n(0)"]
    assert [t.get_text() for t in ax.texts] == ["-0.40", "0.20"]
    assert not (ax.collections[0].get_facecolor() == ax.collections[2].get_facecolor()).all()


def partners() -> xr.Dataset:
    return xr.Dataset(
        {
            "partner": ("true", ["dog", "cat", "cat"]),
            "recall": ("true", [0.9, 0.8, np.nan]),
            "rate": ("true", [0.05, 0.18, np.nan]),
            "share": ("true", [0.5, 0.9, np.nan]),
        },
        coords={"true": ["cat", "dog", "ship"]},
    )


def test_bars_are_sorted_shares_with_the_claimed_one_marked() -> None:
    ax = pictures.partner_bars(partners(), claimed=[("cat", "dog")])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dog as cat", "cat as dog", "ship as cat"]
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.5, 0]
    assert [t.get_text() for t in ax.texts] == ["recall 80.0% + 18.0%", "recall 90.0% + 5.0%", "no examples"]
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert colours[0] == colours[2] != colours[1]
    assert legend(ax) == ["named by the claim", "other class", "nearly all: 75%"]
    assert legend(pictures.partner_bars(partners(), nearly_all=0.6)) == ["nearly all: 60%"]
    assert len(pictures.partner_bars(partners(), count=2).patches) == 2


def test_plots_draw_on_the_axes_they_are_given(rates: xr.DataArray) -> None:
    given = plt.figure().subplots()
    assert pictures.recall_dance(rates, 0, 1, ax=given) is given
    assert pictures.error_row(rates, 0, 1, ax=given) is given
    assert pictures.notes_of(dancing.dancing_notes(rates), 0, 1, ax=given) is given
    assert pictures.notes_together(dancing.dancing_notes(rates), 0, 1, ax=given) is given
    assert pictures.correlation_strips({"x": np.array([0.1])}, ax=given) is given
    assert pictures.partner_bars(partners(), ax=given) is given
    assert len(plt.get_fignums()) == 1


def test_a_dance_shares_its_epochs_and_the_shortest_or_missing_ones_can_be_drawn(rates: xr.DataArray) -> None:
    upper, lower = pictures.label_dance(rates, "cat", "dog", note="x").axes
    assert upper.get_xlim() == lower.get_xlim()
    to_png(pictures.label_dance(rates[:2], "cat", "dog"))
    to_png(pictures.note_sheets(dancing.dancing_notes(rates[:2]), [("cat", "dog")]))
    gap = rates.copy()
    gap[:, 3] = np.nan
    to_png(pictures.label_dance(gap, "cat", "dog"))
    to_png(pictures.note_sheets(dancing.dancing_notes(gap), [("cat", "dog")]))


def test_wrong_classes_are_refused(rates: xr.DataArray) -> None:
    for draw in (pictures.recall_dance, pictures.error_row):
        with pytest.raises(ValueError, match="a dance takes two different ones"):
            draw(rates, "cat", "cat")
    with pytest.raises(ValueError, match="unknown class 'kat'"):
        pictures.notes_of(dancing.dancing_notes(rates), "kat", "dog")
