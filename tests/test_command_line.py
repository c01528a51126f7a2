"""What the commands have in common."""

import subprocess
import sys

import pytest

from gangplank.__main__ import main


@pytest.fixture
def completion(capsys):
    """What bash completes words with, the last of them begun; the script is the command's."""
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    script = capsys.readouterr().out

    def completion(*words):
        code = (
            f'{script}\nCOMP_WORDS=(gangplank "$@"); COMP_CWORD=$#; '
            'complete -p gangplank >&2; _shtab_gangplank; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        result = subprocess.run(["bash", "-c", code, "", *words], capture_output=True, text=True)
        assert "-F _shtab_gangplank" in result.stderr
        return result.stdout.split()

    return completion


def test_completion(completion, file, other):
    assert completion("hist") == ["histogram"]
    assert completion("rules", "--dead") == ["--dead-share"]
    assert completion("histogram", "--per", "la") == ["layer"]
    assert completion("histogram", "--json", "mod") == [file]
    assert completion("dashboard", "--output", "oth") == [other]


def test_completion_of_zsh(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "zsh"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("#compdef gangplank")


def test_what_completion_needs_is_missing(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    error = capsys.readouterr().err
    assert "pip install '.[cli]' in a clone" in error
    assert error.count("\n") == 1
