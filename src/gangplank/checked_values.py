"""What users pass: whether it is a truth value, a number of some kind, or text for a label."""

import numbers
from typing import Any


def checked_flag(name: str, flag: Any) -> bool:
    """`flag` as given under `name`. Raises ValueError if it is neither True nor False."""
    if not isinstance(flag, bool):
        raise ValueError(f"{name} must be True or False. Received {flag!r}.")
    return flag


def check_encodable(name: str, text: str) -> None:
    """Raises ValueError if `text`, given under `name`, cannot stand in a label's value."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be text that UTF-8 can encode: {error}.") from None


def is_integer(value: object) -> bool:
    """Whether `value` is an integer, and no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def checked_count(name: str, count: Any) -> int:
    """`count` as given under `name`. Raises ValueError if it is no integer of 0 or more."""
    if not is_integer(count) or count < 0:
        raise ValueError(f"{name} must be an integer of 0 or more. Received {count!r}.")
    return int(count)


def checked_port(port: Any) -> int:
    """`port` as given to a server. Raises ValueError if it is no TCP port, nor 0 for any."""
    if not is_integer(port) or not 0 <= port <= 65535:
        raise ValueError(f"port must be an integer from 0 to 65535. Received {port!r}.")
    return int(port)


def as_float(value: object) -> float | None:
    """`value` as a float64 number; None if it is no real number, or beyond them."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
