import torch
from hypothesis import given
from hypothesis import strategies as st

from warptheory.core.streams import Stream
from warptheory.training.data._preparation import stratified_split


@given(
    counts=st.lists(st.integers(2, 30), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_every_class_is_split_alike(counts, share, seed):
    """The share of each class is met to within one image, or the one image that each part must have."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.from_numpy(Stream(seed, "order").generator().permutation(len(labels)))]
    train, test = stratified_split(labels, share, Stream(seed, "split").generator())
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        chosen = int((labels[test] == label).sum())
        assert 1 <= chosen <= count - 1
        assert abs(chosen - share * count) <= 1
