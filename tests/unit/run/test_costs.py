from landscape_utils.data.datasets import Dataset
from landscape_utils.run import costs
from landscape_utils.training.recipes import RunSpec


def test_estimates_grow_with_the_work(small: Dataset) -> None:
    short, long = (RunSpec(dataset="small", model="mlp", epochs=e) for e in (1, 10))
    assert costs.estimate(long, small).seconds > costs.estimate(short, small).seconds > 0
    cost = costs.estimate(short, small)
    # The checkpoints are the weights of 192 x 128 + 128 + 128 x 3 + 3 numbers; initial, best and final.
    assert cost.disk == 3 * 4 * (192 * 128 + 128 + 128 * 3 + 3)
