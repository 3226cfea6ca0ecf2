"""Prints how often a drift is called where there is none, and where there is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from service.drift import examine

Draw = Callable[[np.random.Generator, int], np.ndarray]
DECILES = np.linspace(0.1, 0.9, 9)
WARM_UP = 500
WINDOWS = (100, 300, 1000)


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def five_values(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice([0.0, 25.0, 50.0, 75.0, 100.0], p=[0.07, 0.18, 0.45, 0.12, 0.18], size=n)


def whole_numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.round(np.clip(rng.normal(75, 6, size=n), 50, 99))


def autoregression(phi: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        noise = rng.normal(size=n + WARM_UP) * np.sqrt(1.0 - phi * phi)
        values = np.zeros(n + WARM_UP)
        for at in range(1, n + WARM_UP):
            values[at] = phi * values[at - 1] + noise[at]
        return values[WARM_UP:]

    return draw


def rate(trained: Draw, live: Draw, n: int, m: int, seeds: int) -> float:
    called = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        deciles = np.maximum.accumulate(np.quantile(trained(rng, m), DECILES)).tolist()
        called += examine(live(rng, n), deciles, m).drifting
    return called / seeds


def shown(label: str, rates: list[float]) -> None:
    print(f"{label:<34}", *(f"{value:8.4f}" for value in rates))


def main() -> None:
    print(f"{'share of windows called a drift':<34}", *(f"n={n:<6}" for n in WINDOWS))
    for draw in (normal, five_values, whole_numbers):
        for m in (100, 1000):
            label = f"no change, {draw.__name__}, m={m}"
            shown(label, [rate(draw, draw, n, m, 2000) for n in WINDOWS])
    for phi in (0.5, 0.9, 0.98):
        live = autoregression(phi)
        shown(f"no change, rho={phi}, m=1000", [rate(normal, live, n, 1000, 600) for n in WINDOWS])
    for shift in (0.3, 0.5, 0.8, 1.0):

        def live(rng: np.random.Generator, n: int, by: float = shift) -> np.ndarray:
            return rng.normal(by, 1.0, size=n)

        shown(f"shift by {shift} sd, m=3000", [rate(normal, live, n, 3000, 200) for n in WINDOWS])


if __name__ == "__main__":
    main()
