"""Times of functions that are compared, taken in turns."""

import statistics
import time


def medians(*functions, rounds=9):
    """The median time of each function in seconds, taken in turns."""
    times = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def least_median(function, *, rounds):
    """Of five medians the least, in seconds: a time alone tells of the neighbours as well."""
    return min(medians(function, rounds=rounds)[0] for _ in range(5))
