"""What a training came to shows itself: accuracy, speed, and the loss as a curve."""

from torch import nn

from tests.cards import check_shows_itself, text_of
from warptheory.training import TrainedModel, TrainingRun, TrainingSettings, TrainingStep


def history(accuracy):
    steps = [TrainingStep(step, 2.3 - step, 0.1, 0.05, images_per_second=100.0) for step in range(2)]
    return [*steps, TrainingStep(2, 0.1, 0.9, 0.05, test_accuracy=accuracy, images_per_second=120.0)]


def test_a_trained_model():
    trained = TrainedModel(nn.Linear(2, 3), history(0.875), None, classes=3, tested=40)
    card = check_shows_itself(trained)
    assert "0.8750 of 40 images, 3 classes" in text_of(card)
    assert list(card.iter("{http://www.w3.org/2000/svg}svg"))
    assert repr(trained) == "TrainedModel(Linear, steps=3, test_accuracy=0.8750)"


def test_without_a_test():
    shown = text_of(check_shows_itself(TrainedModel(nn.Linear(2, 3), history(None)[:1], None, classes=3, tested=0)))
    assert "not asked for" in shown


def test_runs_and_steps():
    check_shows_itself(TrainingRun("resnet20", "digits", TrainingSettings(steps=1)))
    check_shows_itself(history(0.5)[-1])
