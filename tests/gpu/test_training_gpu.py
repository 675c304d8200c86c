"""Training on a CUDA device: every precision learns, and goes on after an interruption to the very weights."""

import pytest
import torch

from warptheory import networks, training

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="not run: needs a CUDA device"),
]
DEVICE = torch.device("cuda")


class InterruptedRunError(Exception):
    pass


def interrupt(measured):
    if measured.step == 25:
        raise InterruptedRunError


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_interrupted_runs_end_in_the_same_weights(precision, tmp_path):
    digits = training.data.load("digits")
    settings = training.TrainingSettings(steps=40, batch=64, augment=("crop",), precision=precision)
    prints = []
    for stops in ((None,), (interrupt, None)):
        for stop in stops:
            model = networks.build("selfwarp-resnet8", classes=10, channels_in=1, width=8).to(DEVICE)
            folder = tmp_path / str(len(stops))
            with training.open_checkpoints(folder, {}, interval=10, resume=True) as checkpoints:
                try:
                    images, labels = digits.train.images.to(DEVICE), digits.train.labels.to(DEVICE)
                    history = training.fit(model, images, labels, settings, checkpoints=checkpoints, on_step=stop)
                except InterruptedRunError:
                    continue
        prints.append(training.fingerprint(model))
    assert prints[0] == prints[1]
    assert history[-1].loss < history[0].loss
