from landscape_utils.errors import unknown


def test_names_what_was_wrong_and_the_nearest_right_ones() -> None:
    error = unknown("model", "resnet9", ["resnet8", "vgg11", "mlp"])
    assert str(error) == "unknown model 'resnet9'; the nearest valid names are: resnet8"


def test_lists_all_names_when_none_is_near() -> None:
    assert "a, b" in str(unknown("model", "zzzz", ["b", "a"]))
