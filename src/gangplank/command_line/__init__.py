"""What one types: the arguments and the help of each command, which `commands` carries out."""

from gangplank.command_line.command import MissingError
from gangplank.command_line.histogram import separated
from gangplank.command_line.parser import parser

__all__ = ["MissingError", "parser", "separated"]
