"""Quantiles of a histogram, against Prometheus' definition over cumulative buckets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_tools._telemetry.quantiles import quantile
from tests.telemetry.prometheus import histogram_quantile

BOUNDS = (1.0, 2.0, 4.0)


@given(
    st.floats(0.01, 1),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any),
)
def test_a_quantile_is_that_of_prometheus(q: float, counts: list[int]) -> None:
    assert quantile(q, BOUNDS, counts) == pytest.approx(histogram_quantile(q, BOUNDS, counts))


@pytest.mark.parametrize(
    ("counts", "maximum", "expected"),
    [
        ((4, 0, 0, 0), None, 0.5),
        ((0, 4, 0, 0), None, 1.5),
        ((0, 0, 0, 4), None, 4.0),
        ((0, 0, 0, 4), 8.0, 6.0),
        ((2, 0, 0, 2), 8.0, 1.0),
    ],
)
def test_the_median_is_interpolated_in_its_bucket(
    counts: tuple[int, ...], maximum: float | None, expected: float
) -> None:
    assert quantile(0.5, BOUNDS, counts, maximum) == expected
