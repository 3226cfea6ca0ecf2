"""Metric families made of plain values, all under one prefix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)

from service.histogram import Histogram

PREFIX = "signal_scorer_"

Labelled = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """One value of now."""
    return GaugeMetricFamily(PREFIX + name, text, value=float(value))


def labelled(name: str, text: str, labels: list[str], values: Labelled) -> GaugeMetricFamily:
    """Values of now by their labels."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def total(name: str, text: str, value: float) -> CounterMetricFamily:
    """One count since start."""
    return CounterMetricFamily(PREFIX + name, text, value=float(value))


def counter(
    name: str, text: str, labels: list[str], counts: Mapping[str, int] | Labelled
) -> CounterMetricFamily:
    """Counts since start by one label, or by as many as the keys have parts."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    if isinstance(counts, Mapping):
        counts = [((key,), count) for key, count in counts.items()]
    for key, count in counts:
        family.add_metric(key, count)
    return family


def histogram(
    name: str, text: str, label: str | None, of: Iterable[tuple[str, Histogram]]
) -> HistogramMetricFamily:
    """Durations by bucket, by one label or by none."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=[label] if label else [])
    for key, durations in of:
        family.add_metric([key] if label else [], durations.cumulative(), durations.sum_s)
    return family
