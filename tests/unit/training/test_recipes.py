import pytest

from landscape_utils.training.recipes import RECIPES
from tests.unit.training.conftest import spec_of


def test_recipes_are_the_papers() -> None:
    rates = {name: RECIPES[name].lr for name in ("small-lr", "big-lr", "anneal-lr", "memorize", "finetune")}
    assert rates == {"small-lr": 1e-4, "big-lr": 1e-2, "anneal-lr": 0.1, "memorize": 1e-4, "finetune": 1e-2}
    for name in ("small-lr", "big-lr", "anneal-lr", "finetune"):
        recipe = RECIPES[name]
        assert (recipe.optimizer, recipe.momentum, recipe.weight_decay, recipe.batch_size) == ("sgd", 0.9, 5e-4, 128)
        assert recipe.augment
    memorize = RECIPES["memorize"]
    assert (memorize.optimizer, memorize.batch_size, memorize.weight_decay, memorize.augment) == (
        "adam",
        1024,
        0,
        False,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "anneal"}, "unknown recipe 'anneal'; the nearest valid names are: anneal-lr"),
        ({"model": "resnet9"}, "unknown model 'resnet9'"),
        ({"model_options": {"widht": 3}}, "unknown option of mlp 'widht'; the nearest valid names are: width"),
        ({"optimizer": "adm"}, "nearest valid names are: adam"),
        ({"schedule": "cos"}, "nearest valid names are: cosine"),
        ({"precision": "bf17"}, "nearest valid names are: bf16"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"epsilon": 1.5}, "must lie in"),
        ({"checkpoints": (7,)}, "checkpoint 7 lies outside the epochs 0 to 3"),
        ({"recipe": "finetune"}, "mlp has none"),
    ],
)
def test_bad_specifications_are_refused_before_anything_is_loaded(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(**change)
