"""A log that harms neither a run, nor its pushes, nor a prediction."""

import contextlib
import logging
import traceback
from typing import Any


class HarmlessLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger of a name. What somebody's filter or handler raises is printed."""

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name))

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        try:
            super().log(level, msg, *args, stacklevel=2, **options)
        except Exception:
            with contextlib.suppress(Exception):  # there may be nowhere to print to
                traceback.print_exc()
