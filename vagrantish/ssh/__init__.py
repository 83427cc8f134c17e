"""Everything that talks to a guest: keys, connection, readiness, files."""
