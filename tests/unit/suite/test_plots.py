from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import xarray as xr

from landscape_utils.suite import plots


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_saved_figure_has_its_picture_and_its_numbers(tmp_path: Path, kind: str) -> None:
    numbers = xr.Dataset({"height": ("place", [1.0, 2.0, 3.0])})
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure, ax = plt.subplots()
        ax.plot(numbers["height"])
        plots.save(figure, "x", numbers, figures=folder, out=folder, formats=[kind])
        contents.append((folder / f"x.{kind}").read_bytes())
    with xr.open_dataset(tmp_path / "a" / "x.nc", engine="netcdf4") as back:
        xr.testing.assert_equal(back.load(), numbers)
    if kind == "png":
        assert contents[0] == contents[1]


def test_other_picture_formats_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose from png, svg, pdf"):
        plots.save(plt.figure(), "x", xr.Dataset(), figures=tmp_path / "f", out=tmp_path, formats=["png", "bmp"])
    assert not list(tmp_path.iterdir())


def test_a_footnote_leaves_the_shared_label_in_its_place() -> None:
    figure = plots.plt.figure()
    plots.footnote(figure, "")
    assert figure.get_supxlabel() == ""
    figure.supxlabel("alpha")
    plots.footnote(figure, "300 images")
    assert figure.get_supxlabel() == "alpha\n300 images"
