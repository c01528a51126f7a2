"""JSON of files that nobody vouches for."""

import json
from typing import Any, NoReturn

# As the safetensors library has it: to parse JSON takes many times its size in memory.
LONGEST = 100_000_000

_MOST_DIGITS = 19  # those of 2^63


def parsed(text: bytes) -> dict[str, Any]:
    """The object that `text` is.

    Raises:
        ValueError: it is none, or one that two readers may take for different ones. The message
            goes on after the name of what it is.
    """
    try:
        value = json.loads(
            text.decode(),
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("is no JSON of a checkpoint: it is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def is_size(value: Any) -> bool:
    """Whether a value of JSON is an integer from 0 to below 2^63."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"has the key {key!r} twice")
        found[key] = value
    return found


def _integer(digits: str) -> int:
    if (length := len(digits.removeprefix("-"))) > _MOST_DIGITS:
        raise ValueError(
            f"has an integer of {length:,} digits, and none has more than {_MOST_DIGITS}"
        )
    return int(digits)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"is no JSON: {constant} is no number of it")
