"""The Xhyvefile a new project begins with."""

from __future__ import annotations

from vagrantish.config import texts
from vagrantish.errors import UsageError
from vagrantish.files import host_errors
from vagrantish.render import render_file
from vagrantish.resources import templates_dir


def initial_text(box: str) -> str:
    """What `vx init BOX` writes. Raises UsageError when ``box`` is no name of a box."""
    try:
        texts.box_ref(box)
    except ValueError as error:
        raise UsageError(
            f"{box[:80]!r} is not the name of a box",
            hint=str(error) or 'A box is called NAME or NAME@VERSION, such as "micro".',
        ) from error
    path = templates_dir() / "Xhyvefile.j2"
    with host_errors(f"read {path}"):
        template = path.read_text(encoding="utf-8")
    return render_file(template, {"box": box})
