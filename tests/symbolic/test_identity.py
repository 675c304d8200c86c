"""Random values are told apart by the definition of what they are made of, whatever that shows of itself."""

from warptheory.fields import Matern
from warptheory.symbolic import GaussianField, OffsetField, compose
from warptheory.symbolic.nodes import Opaque


def offsets(last):
    """Return offsets of a covariance that is a long sum, whose middle term is cut out of what is shown of it."""
    terms = [Matern(length=length, dim=1) for length in (1, 2, last, 3, 4, 5)]
    covariance = terms[0]
    for term in terms[1:]:
        covariance = covariance + term
    return OffsetField(covariance=covariance)


def test_what_is_shown_alike_is_not_taken_for_the_same():
    one, other = offsets(7), offsets(8)
    assert repr(one) == repr(other)
    assert repr(one.fraction) == repr(other.fraction)
    for first, second in ((one, other), (one.fraction, other.fraction)):
        assert Opaque(first) != Opaque(second)
        assert Opaque(first) == Opaque(offsets(7) if first is one else offsets(7).fraction)
    x = GaussianField("x", Matern(length=3, dim=1))
    assert compose(x, one)(0) != compose(x, other)(0)
    assert compose(x, one)(0) == compose(x, offsets(7))(0)
