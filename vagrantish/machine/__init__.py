"""Machines as folders under VX_HOME: record, files, lock."""
