from landscape_utils.sections.tour import study
from landscape_utils.suite.session import session


def test_the_tour_trains_one_network_a_section_and_both_kinds_of_plateau() -> None:
    listed = study.every_training(session("00_tour"))
    assert {name: len(specs) for name, specs in listed.items()} == {"mlp": 1, "plateau": 6, "memorization": 1}
    assert [(s.seed, s.model_options.get("bias", True)) for s in listed["plateau"]] == [
        (seed, bias) for bias in (True, False) for seed in (0, 1, 2)
    ]
