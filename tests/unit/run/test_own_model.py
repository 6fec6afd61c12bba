from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from torch import nn

import landscape_utils as lu
from landscape_utils.suite.widgets import Panel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of three brightnesses, a folder a class."""
    for part in ("train", "test"):
        for c, name in enumerate(("dark", "grey", "light")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(6):
                Image.new("RGB", (32, 32), (40 + 80 * c + i,) * 3).save(tmp_path / part / name / f"{i}.png")
    return tmp_path


def test_a_timm_network_and_a_folder_of_images_have_a_panel_of_three_tabs(folder: Path) -> None:
    torch.manual_seed(0)
    data = lu.load_dataset(str(folder))
    model = timm.create_model("test_resnet", num_classes=3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    panel = lu.panel(model, data, images=6, points=3)
    assert [isinstance(child, Panel) for child in panel.children] == [True, False, False]
    for i in range(3):
        panel.selected_index = i
        panel.children[i].wait()
        assert panel.children[i].error is None
        assert panel.children[i].image.value
    opened = panel.children
    panel.selected_index = 0
    assert panel.children == opened  # nothing is made twice
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_that_does_not_fit_the_data_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="2"):
        lu.panel(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), lu.load_dataset(str(folder)))
