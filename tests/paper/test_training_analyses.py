"""Networks beside their twins, and images carried through warps: the records, and the composition of warps."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import warptheory as wt
from warptheory.core import records
from warptheory.core.device import device_name
from warptheory.paper.analyses import selfwarp_training as training
from warptheory.paper.analyses import warped_through_network as through
from warptheory.paper.entries import RunSettings
from warptheory.paper.figures import figure2_training as figure2
from warptheory.paper.figures import figure5_warped_through_network as figure5
from warptheory.stability import LayerOffsets


def field(offsets: torch.Tensor, size: tuple[int, int]) -> LayerOffsets:
    return LayerOffsets("warp", 0, 0, "warp", offsets.numpy(), offsets.numpy(), size)


def at(function, size, stride=1):
    """ε of a layer whose pixel n lies over pixel `stride`·n of the image, in its own pixels, (1, 2, h, w)."""
    rows, columns = (stride * torch.arange(n // stride, dtype=torch.float64) for n in size)
    return torch.stack(function(*torch.meshgrid(rows, columns, indexing="ij")))[None] / stride


def test_translations_add():
    size = (12, 16)
    shifts = [(1.5, -0.5), (0.25, 2.0)]
    fields = [field(at(lambda y, x, s=s: (s[0] + 0 * y, s[1] + 0 * x), size), size) for s in shifts]
    found = through.compose(fields, size)
    assert found.shape == (2, 2, 12, 16)
    for number in range(2):
        total = np.sum(shifts[: number + 1], axis=0)
        inside = found[number][:, 3:-3, 3:-3]  # as far from the edges as the offsets are long
        torch.testing.assert_close(inside, torch.tensor(total)[:, None, None].expand(2, 6, 10))


def test_what_leads_beyond_the_edge_ends_there():
    """As the warps themselves do, one after the other, on a ramp, which linear interpolation reads exactly."""
    size, ramp = (12, 16), torch.arange(12.0, dtype=torch.float64)[:, None].expand(1, 1, 12, 16)
    shifts = [(-2.5, 0.0), (4.0, 0.0), (3.0, 0.0)]
    fields = [field(at(lambda y, x, s=s: (s[0] + 0 * y, s[1] + 0 * x), size), size) for s in shifts]
    expected = ramp
    for each in fields:
        expected = wt.warp(expected, torch.from_numpy(each.offsets), boundary="border")
    found = wt.warp(ramp, through.compose(fields, size)[-1:], boundary="border")
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_affine_warps_compose_like_matrices(stride):
    """Linear interpolation is exact on affine fields, so the composition is, inside: A₁(A₂t) − t."""
    size, centre = (32, 32), 14.0
    first = torch.tensor([[0.9, 0.05], [-0.08, 0.95]], dtype=torch.float64)
    second = torch.tensor([[0.96, -0.1], [0.07, 0.9]], dtype=torch.float64)

    def moved(matrix):
        def offsets(y, x):
            t = torch.stack([y - centre, x - centre], -1)
            return tuple((t @ (matrix - torch.eye(2)).T).movedim(-1, 0))

        return offsets

    fields = [field(at(moved(first), size), size), field(at(moved(second), size, stride), (32 // stride,) * 2)]
    found = through.compose(fields, size)[1]
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in size), indexing="ij")
    expected = torch.stack(moved(first @ second)(rows, columns))
    inside = slice(4, 27)  # the last pixels of a coarse grid lie before the last of the image
    torch.testing.assert_close(found[:, inside, inside], expected[:, inside, inside], rtol=0, atol=1e-12)


def test_images_are_read_where_the_composition_says(tmp_path):
    """The record's warped images are the images at the record's offsets, to the rounding of float32.

    The run of everything draws committed records, so that two steps are trained here.
    """
    arrays = records.read_arrays(through.run(RunSettings(tmp_path / "records", most_steps=2)))
    images, offsets = (torch.from_numpy(arrays[name]) for name in ("images", "offsets"))
    count, layers = offsets.shape[:2]
    assert images.shape == (count, 3, 32, 32)
    assert layers == 27
    last = wt.warp(images, offsets[:, -1], boundary="border")
    torch.testing.assert_close(last, torch.from_numpy(arrays["warped"])[:, -1], rtol=0, atol=1e-4)
    # The network that stands beside is the one that was trained, and its warps are those of the record.
    assert through.carried_cell(RunSettings(tmp_path / "records"), tmp_path / "records").agrees


def test_detail_is_in_neither_flat_nor_noisy_patches():
    """All of contrast one, as the data set's: a colour, an edge, the noise of a dark surface, and waves."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    colour = torch.tensor([10, 20, 30])[:, None, None].expand(3, 32, 32)
    edge = (columns > 9).expand(3, 32, 32)
    noise = torch.randint(0, 4, (3, 32, 32), generator=torch.Generator().manual_seed(0))
    waves = (100 * torch.sin(rows / 5) * torch.cos(columns / 7)).round().expand(3, 32, 32)
    plain = torch.stack([colour, edge, noise, waves]).double()
    images = (plain - plain.mean((1, 2, 3), keepdim=True)) / plain.std((1, 2, 3), keepdim=True)
    assert through.detail(images).tolist() == [3, 2, 4, len(waves.unique())]
    assert through.detail(images).argmax() == 3


def test_a_row_of_images_has_one_scale():
    """A warp that leaves of the image its darker half shows it as dark as it was."""
    image = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(1, 1, 32, 32)
    darker = image[:, None] / 2
    arrays = {"images": image, "warped": darker, "offsets": np.zeros((1, 1, 2, 32, 32), np.float32)}
    settings = {"layers": ["warp"], "photographs": ["ramp"], "strides": [1]}
    first, second = figure5.draw(arrays, {"settings": settings}).axes
    drawn, expected = second.images[0].get_array(), first.images[0].get_array()
    np.testing.assert_allclose(drawn[1:-1], expected[1:-1] / 2, atol=0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of two steps of every network, of the first a thin one, seed 1."""
    folder = tmp_path_factory.mktemp("trained")
    tasks = (replace(training.TASKS[0], model_options={"width": 2}), *training.TASKS[1:])
    training.run(RunSettings(folder / "records", seed=1, seeds=1, most_steps=2), tasks)
    return folder


def test_every_run_has_its_row(trained):
    source = trained / "records"
    accuracy = records.read_table(source / "selfwarp_accuracy.parquet")
    assert len(accuracy) == 2 * len(training.TASKS)
    assert (accuracy["steps"] == 2).all()
    assert accuracy["test_accuracy"].between(0, 1).all()
    for _, pair in accuracy.groupby("data"):
        assert sorted(pair["warped"]) == [False, True]
        assert pair.set_index("warped")["parameters"].loc[True] > pair.set_index("warped")["parameters"].loc[False]
    steps, layers = (records.read_table(source / f"selfwarp_{name}.parquet") for name in ("steps", "layers"))
    assert len(steps) == 2 * 2
    assert set(layers["depth"]) == set(range(9))
    # With offsets of zero a network and its twin are the same function, so their first losses are equal.
    first = steps[steps["step"] == 0]["loss"]
    assert first.iloc[0] == pytest.approx(first.iloc[1], rel=1e-5)


def test_what_a_device_trains():
    assert training.tasks_for("cpu") is training.TASKS
    for name in ("cuda", "cuda:1"):
        assert [(task.network, task.settings["precision"]) for task in training.tasks_for(name)] == [
            ("resnet56", "fp32"),
            ("resnet56", "bf16"),
        ]


def test_precisions_of_one_network_side_by_side(tmp_path):
    """As on a GPU, with a network that the processor trains in seconds."""
    tasks = tuple(
        training.Task("digits", "resnet8", {**task.settings, "batch": 8}, {"width": 2}) for task in training.GPU_TASKS
    )
    accuracy = records.read_table(training.run(RunSettings(tmp_path / "records", seeds=2, most_steps=2), tasks))
    assert len(accuracy) == 2 * 2 * 2
    assert set(accuracy["device"]) == {device_name("cpu")}
    summary = training.accuracy_summary(accuracy)
    assert summary[["precision", "warped", "count"]].to_numpy().tolist() == [
        ["fp32", True, 2], ["fp32", False, 2], ["bf16", True, 2], ["bf16", False, 2],
    ]  # fmt: skip
    (axes,) = training.plot_accuracy_of_networks(accuracy).axes
    names = ["SelfWarp resnet8, fp32", "resnet8, fp32", "SelfWarp resnet8, bf16", "resnet8, bf16"]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    read = [records.read_table(tmp_path / "records" / name) for name in figure2.FIGURE.reads]
    layers, steps = figure2.first_run(*read)
    assert set(layers["precision"]) == set(steps["precision"]) == {"fp32"}
    assert figure2.title(*read) == "Figure 2. Training a SelfWarp ResNet-8"
    legend = figure2.draw(*read).axes[3].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["plain ResNet-8", "SelfWarp ResNet-8"]


def test_finished_runs_are_not_trained_again(trained, tmp_path):
    """A run that is found finished is read, and gives the same row."""
    table = records.read_table(trained / "records" / "selfwarp_accuracy.parquet")
    shutil.copytree(trained / "training", tmp_path / "training")
    again = training.run(RunSettings(tmp_path / "records", seed=1, seeds=1, most_steps=2), training.TASKS[2:])
    pair = records.read_table(again)
    kept = ["network", "seed", "steps", "parameters", "test_accuracy", "last_loss", "images_per_second"]
    expected = table[table["data"] == "digits"].reset_index(drop=True)
    assert pair[kept].equals(expected[kept])


@pytest.mark.slow
@pytest.mark.parametrize("task", training.TASKS[1:], ids=lambda task: task.data)
def test_networks_reach_the_published_accuracy(task, tmp_path):
    """With warps and without, up to three standard errors of a share of the test set."""
    found = records.read_table(training.run(RunSettings(tmp_path / "records", seeds=1), (task,)))
    for row in found.to_dict("records"):
        published = row["published_accuracy"]
        error = math.sqrt(published * (1 - published) / row["tested"])
        assert row["test_accuracy"] >= published - 3 * error


def test_summary_is_over_seeds():
    settings = {"steps": 2, "batch": 4, "classes": 3, "tested": 10, "parameters": 7, "last_loss": 1.0}
    settings |= {"precision": "fp32", "warping_multiplier": 0.01, "published_accuracy": None, "published_by": ""}
    rows = [
        {"data": "digits", "network": name, "warped": name != "plain", "seed": seed, "test_accuracy": score, **settings}
        for name, scores in (("plain", (0.5, 0.7)), ("selfwarp", (0.6, 0.6)))
        for seed, score in enumerate(scores)
    ]
    found = training.accuracy_summary(pd.DataFrame(rows)).set_index("network")
    assert found.loc["plain", "mean"] == pytest.approx(0.6)
    assert found.loc["plain", "std"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert list(found.loc["selfwarp", ["min", "max", "count"]]) == [0.6, 0.6, 2]


def test_layers_are_shown_from_the_first_to_the_last():
    assert figure5.shown_layers(27) == [0, 4, 9, 13, 17, 22, 26]
    assert figure5.shown_layers(3) == [0, 1, 2]
