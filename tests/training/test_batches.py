from hypothesis import given
from hypothesis import strategies as st

from warptheory.training.batches import batch_positions


@given(st.integers(1, 50), st.data(), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_sees_every_image_once(count, drawn, epoch, seed):
    batch = drawn.draw(st.integers(1, count))
    each = count // batch
    steps = range(epoch * each, (epoch + 1) * each)
    found = [position for step in steps for position in batch_positions(count, batch, seed, step)]
    assert len(found) == each * batch
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(count))


def test_epochs_and_seeds_differ_and_repeat():
    orders = [tuple(batch_positions(100, 100, seed, step)) for seed in range(2) for step in range(3)]
    assert len(set(orders)) == 6
    assert tuple(batch_positions(100, 100, 1, 2)) == orders[-1]
