"""What is in a checkpoint, and the same as JSON."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

from numpy.typing import NDArray

from gangplank._native import StoredArray
from gangplank.checkpoints import CheckpointError, open_checkpoint
from gangplank.checkpoints.checkpoint import path_in_words
from gangplank.commands.buckets import Histogram
from gangplank.weights import (
    NativeBuckets,
    NativeWeightsHistogram,
    Parts,
    Per,
    WeightsStatistics,
    counting,
    grouped,
    part_names,
    weight_arrays,
)

Reading = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Tells of the reading of a file of so many bytes: what it gives is told of each piece."""


@dataclass(frozen=True)
class Part:
    """A model, a layer or a variable: its name, the dtypes that it has, and what is known of it."""

    name: str
    dtype: str
    histogram: Histogram
    statistics: WeightsStatistics | None


@dataclass(frozen=True)
class Contents:
    """What is in a file: the parts, the smallest of which are by `per`, and what is left out."""

    file: str
    per: Per
    parts: list[Part]
    left_out: dict[str, str]


def contents_of(
    file: str,
    buckets: Iterable[float] | NativeBuckets,
    per: Per,
    *,
    has_statistics: bool,
    reading: Reading,
) -> Contents:
    """Counts the weights in a file, in one pass over it.

    Arguments:
        file: as `gangplank.checkpoints.open_checkpoint` takes it.
        buckets: as `gangplank.weights_histogram` takes them.
        per: the parts that are told apart.
        has_statistics: whether statistics are wanted.
        reading: is told how it goes.

    Raises:
        CheckpointError: the file is no checkpoint, or has no weights that can be counted.
    """
    with open_checkpoint(file) as checkpoint:
        entries = list(weight_arrays(checkpoint.arrays, "all"))
        if not entries and checkpoint.left_out:
            name, reason = next(iter(checkpoint.left_out.items()))
            raise CheckpointError(
                f"{path_in_words(file)}: it has no weights that can be counted: {name!r} cannot, "
                f"since {reason}."
            )
        with reading(file, sum(array.nbytes for _, array in entries)) as advance:
            arrays = {path: _watched(array, advance) for (path, _), array in entries}
            found = Parts(arrays, "all", per, [counting(buckets)], has_moments=has_statistics)
        names = part_names([place for place, _ in entries], per)
        dtypes = grouped(names, (array.dtype.name for _, array in entries))
        statistics = found.statistics(per) if has_statistics else {}
        parts = [
            Part(name, ", ".join(dict.fromkeys(dtypes.get(name, ()))), each, statistics.get(name))
            for name, (each,) in found.histograms(per).items()
        ]
        return Contents(file, per, parts, checkpoint.left_out)


def json_line(contents: Contents) -> str:
    """A file's histograms as one line of JSON. Numbers that JSON does not have are strings."""
    is_whole = contents.per == "model"
    parts = [_json_part("model" if is_whole else part.name, part) for part in contents.parts]
    return json.dumps({"file": contents.file, "histograms": parts}, allow_nan=False)


def _watched(array: StoredArray, advance: Callable[[int], None]) -> StoredArray:
    def read() -> Iterator[NDArray[Any]]:
        for piece in array.read():
            yield piece
            advance(piece.nbytes)

    return replace(array, read=read)


def _json_part(name: str, part: Part) -> dict[str, Any]:
    histogram = part.histogram
    entry = {
        "name": name,
        "dtype": part.dtype,
        "count": histogram.count,
        "nan_count": histogram.nan_count,
    }
    if isinstance(histogram, NativeWeightsHistogram):
        entry["native"] = {
            "schema": histogram.schema,
            "zero_threshold": histogram.zero_threshold,
            "zero_count": histogram.zero_count,
            "positive": {str(index): count for index, count in histogram.positive.items()},
            "negative": {str(index): count for index, count in histogram.negative.items()},
            "sum": _json_number(histogram.sum),
        }
    else:
        entry |= {"bounds": list(histogram.bounds), "counts": histogram.counts.tolist()}
    if part.statistics is not None:
        entry["statistics"] = {
            name: _json_number(value) for name, value in asdict(part.statistics).items()
        }
    return entry


def _json_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")
