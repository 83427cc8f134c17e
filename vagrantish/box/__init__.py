"""Boxes: what a machine boots, kept by digest in the store."""
