"""Hypervisors, each behind the protocol in ``base``."""
