"""Command lines that are wrong."""

import pytest

from gangplank.__main__ import main


def usage_error(capsys, *arguments):
    """The last line of what the command line says that is wrong."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: gangplank")
    return error.splitlines()[-1]
