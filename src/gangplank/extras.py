"""The extras that an installation may lack."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra, from an index or in a clone."""
    return f"pip install 'gangplank[{extra}]' (in a clone of gangplank: pip install '.[{extra}]')"
