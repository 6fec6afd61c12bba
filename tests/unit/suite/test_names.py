import ipywidgets
from matplotlib.figure import Figure

from landscape_utils.suite import widgets
from landscape_utils.suite.names import PANEL
from landscape_utils.suite.plots import to_png


def test_a_panel_says_what_it_shows() -> None:
    controls = {
        "layer": widgets.choice("layer", [("first", 0), ("last", 9)]),
        "epoch": widgets.stops("epoch", [1, 2, 5], 2),
        "share": ipywidgets.FloatSlider(value=0.25, max=1, step=0.25, description="share"),
    }
    panel = widgets.Panel(lambda layer, epoch, share: to_png(Figure()), controls, width=100, name="rewound")
    assert panel.names.alt == "rewound: layer first, epoch 2, share 0.25"
    controls["layer"].value = 9
    assert panel.names.alt == "rewound: layer last, epoch 2, share 0.25"
    assert PANEL in panel._dom_classes  # where the names are given
    panel.close()
