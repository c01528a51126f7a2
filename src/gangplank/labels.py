"""Names of labels, as Prometheus has them."""

import re


def is_label_name(name: str) -> bool:
    """Whether a label that is not Prometheus's own may have this name."""
    return re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name) is not None
