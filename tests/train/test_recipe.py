"""Schedules, losses, optimisers and the moving average, each against an independent account."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from builders.sets import tiny_spec
from sentinode.config import TrainConfig
from sentinode.models import new_network
from sentinode.train.average import MovingAverage
from sentinode.train.objective import class_weights, make_optimizer, objective
from sentinode.train.schedule import learning_rate, reductions


def settings(**keys: object) -> TrainConfig:
    return TrainConfig.model_validate(keys)


def rates(config: TrainConfig, steps: int = 10) -> list[float]:
    places = np.arange(1, config.epochs * steps + 1) / steps
    return [learning_rate(config, float(place), []) for place in places]


def test_constant_and_warm_up() -> None:
    config = settings(epochs=4, learning_rate=0.1, warmup_epochs=2)
    assert learning_rate(config, 1.0, []) == pytest.approx(0.05)
    assert rates(config)[20:] == [0.1] * 20


def test_step_falls_to_a_tenth() -> None:
    config = settings(epochs=9, schedule="step", step_epochs=3, learning_rate=1.0)
    found = [learning_rate(config, e, []) for e in (0.5, 3.0, 3.01, 6.0, 6.1)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_plateau_is_that_of_pytorch() -> None:
    losses = [5.0, 4, 4.5, 4.2, 4.1, 3.9, 4, 4, 4, 4, 4, 3.8, 3.9]
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, threshold=0)
    config = settings(schedule="plateau", step_epochs=2, learning_rate=1.0)
    for count in range(1, len(losses) + 1):
        theirs.step(losses[count - 1])
        assert learning_rate(config, count, losses[:count]) == pytest.approx(
            optimizer.param_groups[0]["lr"]
        )
    assert reductions(losses, 2) == 3


def test_cosine_is_that_of_pytorch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)
    for rate in rates(settings(epochs=5, schedule="cosine", learning_rate=0.3)):
        optimizer.step()
        theirs.step()
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)


def test_one_cycle_rises_and_falls() -> None:
    found = rates(settings(epochs=10, schedule="one-cycle", learning_rate=1.0), 100)
    top = int(np.argmax(found))
    assert found[top] == pytest.approx(1.0)
    assert top == pytest.approx(300, abs=2)
    assert found[0] == pytest.approx(1 / 25, rel=0.01)
    assert found[-1] == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(found[:top]) > 0)
    assert np.all(np.diff(found[top:]) < 0)


def test_impossible_warm_ups_are_refused() -> None:
    with pytest.raises(ValueError, match=r"warmup_epochs lies in 0\.\.epochs"):
        settings(epochs=2, warmup_epochs=3)
    with pytest.raises(ValueError, match="its own warm-up"):
        settings(schedule="one-cycle", warmup_epochs=1)


LOGITS = torch.tensor([2.0, -1.0, 0.3, -3.0])
LABELS = torch.tensor([1.0, 0.0, 0.0, 1.0])


def test_label_smoothing_is_that_of_pytorch() -> None:
    two = torch.stack([torch.zeros(4), LOGITS], 1)
    expected = cross_entropy(two, LABELS.long(), label_smoothing=0.1)
    found = objective(LOGITS, LABELS, settings(label_smoothing=0.1), (1.0, 1.0))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_class_weights_let_both_classes_count_the_same() -> None:
    labels = torch.tensor([1.0, 0, 0, 0])
    config = settings(class_weights="balanced")
    negative, positive = class_weights(config, labels)
    assert (negative, positive) == pytest.approx((2 / 3, 2.0))
    assert 3 * negative == pytest.approx(positive)
    assert class_weights(settings(), labels) == (1.0, 1.0)
    two = torch.stack([torch.zeros(4), LOGITS], 1)
    each = cross_entropy(two, labels.long(), reduction="none")
    expected = (each * torch.tensor([positive] + [negative] * 3)).mean()
    found = objective(LOGITS, labels, config, (negative, positive))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_focal_loss_is_that_of_its_paper() -> None:
    p = 1 / (1 + np.exp(-LOGITS.numpy().astype(float)))
    pt = np.where(LABELS.numpy() == 1, p, 1 - p)
    expected = np.mean(-((1 - pt) ** 1.5) * np.log(pt))
    found = objective(LOGITS, LABELS, settings(loss="focal", focal_gamma=1.5), (1.0, 1.0))
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_decay_spares_biases_and_norms(name: str, kind: type) -> None:
    network = new_network(tiny_spec(), 0)
    optimizer = make_optimizer(network, settings(optimizer=name, weight_decay=0.1))
    assert type(optimizer) is kind
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))


def test_the_average_follows_with_a_decay_that_grows() -> None:
    network = new_network(tiny_spec(), 0)
    average = MovingAverage(network, 0.9)
    name, weight = next(iter(network.named_parameters()))
    expected = weight.detach().clone()
    for step in range(1, 200):
        with torch.no_grad():
            weight.fill_(float(step))
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    found = average.network.state_dict()[name]
    assert torch.allclose(found, expected, rtol=1e-4)
    assert math.isclose(float(found.mean()), 199 - 9, rel_tol=0.01)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_a_focal_loss_below_one_has_a_gradient_where_the_answer_is_certain() -> None:
    logits = torch.tensor([17.0, 40.0, -40.0, 0.3], requires_grad=True)
    targets = torch.tensor([1.0, 1.0, 0.0, 1.0])
    objective(logits, targets, settings(loss="focal", focal_gamma=0.5), (1.0, 1.0)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_training_as_short_as_its_warm_up_learns() -> None:
    config = settings(epochs=1, warmup_epochs=1, schedule="cosine", learning_rate=0.004)
    assert rates(config, 1) == [0.004]
    assert rates(config, 4) == pytest.approx([0.001, 0.002, 0.003, 0.004])
