"""``vx box verify``: what in the store is not as it came, and bringing it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.box import upkeep_verify
from vagrantish.box.missing import again
from vagrantish.box.upkeep_verify import Fault
from vagrantish.cli.box_upkeep import refs_of
from vagrantish.errors import BoxError
from vagrantish.lifecycle.keeping import fetch_again, machine_parts
from vagrantish.units import format_size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from vagrantish.box.upkeep_verify import Finding
    from vagrantish.cli.app import App
    from vagrantish.model import Box


def verify(args: argparse.Namespace, app: App) -> int:
    refs = refs_of(args.boxes)
    parts = machine_parts(app.services)
    report = upkeep_verify.verify(app.home, refs, parts, op=app.op)
    if args.repair and report.findings:
        _repair(report.findings, app)
        report = upkeep_verify.verify(app.home, refs, parts, op=app.op)
    if app.options.json:
        fields = {"files": report.files, "size": report.size_bytes}
        found = [_finding_fields(finding) for finding in report.findings]
        app.answer_json("box-verify", {**fields, "findings": found})
    else:
        for finding in report.findings:
            app.answer("\n".join(_finding_lines(finding)))
        if not report.findings:
            many = "1 file is" if report.files == 1 else f"{report.files} files are"
            app.say(f"{many} as they came, {format_size(report.size_bytes)} in all.")
    return BoxError.exit_status if report.findings else 0


def _repair(findings: Sequence[Finding], app: App) -> None:
    """What cannot be brought back is told by the second look."""
    upkeep_verify.allow_no_writing(findings)
    wanted: dict[tuple[str, str, str], Box] = {}
    for finding in findings:
        if finding.fault in (Fault.MISSING, Fault.CHANGED):
            # The first one's files do for all that share them.
            box = next((box for box in finding.boxes if box.sources), None)
            if box is not None:
                wanted.setdefault((box.name, box.version, box.arch), box)
    for box in wanted.values():
        try:
            fetch_again(app.services, box, op=app.op)
        except BoxError as error:
            app.op.warn(f"{box.label} cannot be fetched again: {error}")


def _finding_lines(finding: Finding) -> Iterable[str]:
    what = {
        Fault.MISSING: "is gone",
        Fault.CHANGED: "is damaged",
        Fault.UNREADABLE: "cannot be read",
        Fault.WRITABLE: "can be written",
        Fault.RECORD: "is damaged",
    }[finding.fault]
    who = "; ".join(f"the {part} of {user}" for user, part in finding.users)
    yield f"{who or 'a file that nothing needs'} {what}: {finding.path}"
    if finding.text:
        yield f"  {finding.text}"
    if finding.fault is Fault.CHANGED:
        yield f"  expected {finding.expected}"
        yield f"  found    {finding.found}"
    elif finding.fault is Fault.MISSING:
        yield f"  expected {finding.expected}"
    if finding.fault is Fault.WRITABLE:
        yield "  `vx box verify --repair` puts that right."
    elif finding.boxes:
        yield f"  Put it back with {again(finding.boxes[0])}."


def _finding_fields(finding: Finding) -> dict[str, object]:
    return {
        "fault": finding.fault.value,
        "path": str(finding.path),
        "used_by": [{"name": user, "part": part} for user, part in finding.users],
        "expected": finding.expected or None,
        "found": finding.found or None,
        "message": finding.text or None,
    }
