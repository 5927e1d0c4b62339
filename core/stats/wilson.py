"""How sure a share is: Wilson's interval for k hits of n."""


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Bounds of the share hits / n; (0, 1) for n = 0, about which nothing is known. Independent trials are assumed.

    ValueError unless 0 <= hits <= n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n}: expected no more hits than trials, and none below 0")
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # here, since importing it takes half a second

    found = binomtest(hits, n).proportion_ci(confidence_level=level, method="wilson")
    return float(found.low), float(found.high)
