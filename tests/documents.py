"""The code blocks of the documents."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(document, languages):
    """The code of a document's blocks; it has none in other languages, outputs apart."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    assert {language for language, _ in found} - {"text"} == {*languages}
    return [[code for name, code in found if name == language] for language in languages]
