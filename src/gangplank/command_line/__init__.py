"""What one types: the arguments and the help of each command, which `commands` carries out."""

from gangplank.command_line.command import MissingError
from gangplank.command_line.parser import parser, separated

__all__ = ["MissingError", "parser", "separated"]
