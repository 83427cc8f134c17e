"""Completion scripts, made from the same parsers that read a command line."""
