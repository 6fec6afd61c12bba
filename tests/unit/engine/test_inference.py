import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from landscape_utils.data.datasets import Dataset
from landscape_utils.engine.inference import confusion_counts, confusion_rates, outcomes


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 36, 3))


def test_equals_a_loop_over_single_examples(small: Dataset) -> None:
    model = network().double()
    data = (small.test.inputs.double(), small.test.targets)
    result = outcomes(model, data)
    model.eval()
    for i, (x, y) in enumerate(zip(*data, strict=True)):
        logits = model(x[None])[0].detach()
        loss = torch.logsumexp(logits, 0) - logits[y]
        assert int(logits.argmax()) == int(result.predicted[i])
        # Losses are kept in float32; the mean is taken in float64.
        assert float(loss) == pytest.approx(float(result.losses[i]), rel=1e-6)
    assert result.classes == 3


def test_a_loader_gives_what_its_tensors_give(small: Dataset) -> None:
    model = network()
    loader = DataLoader(TensorDataset(*small.test), batch_size=7)
    a, b = outcomes(model, small.test), outcomes(model, loader)
    assert torch.equal(a.predicted, b.predicted)
    torch.testing.assert_close(a.losses, b.losses)


def test_the_model_is_left_as_it_was_found(small: Dataset) -> None:
    model = network().train()
    model[1].eval()  # a module that its owner froze
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    outcomes(model, small.test)
    with pytest.raises(ValueError, match="target lies outside the model's 3 classes"):
        outcomes(model, (small.test.inputs, small.test.targets + 1))
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_no_examples_give_nan(small: Dataset) -> None:
    result = outcomes(network(), (small.test.inputs[:0], small.test.targets[:0]))
    assert result.accuracy != result.accuracy
    assert result.loss != result.loss
    assert result.classes == 3


def test_targets_of_a_small_integer_type_do_not_overflow(small: Dataset) -> None:
    result = outcomes(network(), (small.test.inputs, small.test.targets.to(torch.uint8)))
    assert int(confusion_counts(result.targets, result.predicted, 100)[2].sum()) == 10


def test_an_output_that_is_no_classifiers_is_refused(small: Dataset) -> None:
    with pytest.raises(ValueError, match=r"a classifier's is \(N, classes\)"):
        outcomes(nn.Conv2d(3, 4, 3), small.test)


def test_counts_and_rates() -> None:
    targets = torch.tensor([0, 0, 2])
    counts = confusion_counts(targets, torch.tensor([0, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    rates = confusion_rates(counts, targets)
    assert rates[0].tolist() == [0.5, 0.5, 0]
    assert bool(rates[1].isnan().all())


@pytest.mark.parametrize(
    ("logits", "predicted"),
    [
        ([0.0, 2.0, 1.0], 1),
        ([torch.nan, 2.0, 1.0], -1),
        ([0.0, torch.inf, 1.0], -1),
        ([-torch.inf, 2.0, 1.0], 1),  # a class that is ruled out
        ([-torch.inf] * 3, -1),
    ],
)
def test_where_there_is_no_softmax_nothing_was_predicted(logits: list[float], predicted: int) -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.Parameter(torch.tensor([[3.0, 0.0, 0.0], logits]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rows[x]

    result = outcomes(Table(), (torch.tensor([0, 1, 0]), torch.tensor([0, 1, 1])))
    assert result.predicted.tolist() == [0, predicted, 0]
    assert result.losses.isnan().tolist() == [False, predicted < 0, False]
    counts = confusion_counts(result.targets, result.predicted, 3)
    assert int(counts.sum()) == 3 - (predicted < 0)
    assert float(confusion_rates(counts, result.targets)[1].sum()) == (0.5 if predicted < 0 else 1.0)
