"""Provisioners: steps run in a guest once it is ready."""
