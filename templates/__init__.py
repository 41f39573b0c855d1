"""Text of every generated file."""
