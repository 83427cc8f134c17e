"""The command line: parse, call one verb, render its answer."""
