import numpy as np
import pytest
from scipy import stats

from warptheory.core.errors import ArgumentError
from warptheory.core.streams import Stream


def draw(stream, n=1000):
    return stream.generator().standard_normal(n)


def test_a_stream_is_addressed_not_consumed():
    np.testing.assert_array_equal(draw(Stream(1, "A4", 7)), draw(Stream(1, "A4", 7)))


@pytest.mark.parametrize("other", [Stream(2, "A4", 7), Stream(1, "A3", 7), Stream(1, "A4", 8)])
def test_streams_differ_in_every_part_of_the_address(other):
    a, b = draw(Stream(1, "A4", 7)), draw(other)
    assert not np.any(a == b)
    # 1000 independent pairs: |r| < 4.42/√1000 but for one time in 10⁵.
    assert abs(stats.pearsonr(a, b).statistic) < 4.42 / np.sqrt(1000)


def test_chunks_are_far_apart_on_one_counter():
    """The chunk sits in the top 64 of the 256 counter bits: chunk 1 starts where chunk 0 is after 2¹⁹² blocks."""
    start = [Stream(1, "A4", chunk).generator().bit_generator.state["state"]["counter"] for chunk in (0, 1, 5)]
    assert [list(counter) for counter in start] == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 5]]


def test_label_and_seed_cannot_be_confused():
    assert not np.any(draw(Stream(1, "2")) == draw(Stream(12, "")))


@pytest.mark.parametrize("chunk", [-1, 2**64])
def test_chunk_outside_the_counter(chunk):
    with pytest.raises(ArgumentError, match="^chunk: expected an integer in"):
        Stream(0, "x", chunk)


@pytest.mark.parametrize("seed", ["0", 1.5, None, True], ids=repr)
def test_a_seed_is_a_whole_number(seed, as_users_call):
    """Any other text would be the seed of another stream, without a word."""
    with pytest.raises(ArgumentError, match="^seed: expected an integer, got "):
        Stream(seed, "label")
