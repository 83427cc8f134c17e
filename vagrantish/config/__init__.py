"""The Xhyvefile: found, read, layered, rendered and checked."""
