"""Where the data files that ship with vx are."""

from __future__ import annotations

from pathlib import Path


def data_root() -> Path:
    """The folder holding ``boxes/`` and ``templates/``.

    A wheel carries them in ``_data`` beside the package; a checkout, and so an editable install,
    has them at its root.
    """
    package = Path(__file__).resolve().parent
    packed = package / "_data"
    return packed if packed.is_dir() else package.parent


def templates_dir() -> Path:
    return data_root() / "templates"


def boxes_dir() -> Path:
    return data_root() / "boxes"
