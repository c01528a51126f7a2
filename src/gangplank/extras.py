"""The extras that an installation may lack."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install '.[{extra}]' in a clone of gangplank"
