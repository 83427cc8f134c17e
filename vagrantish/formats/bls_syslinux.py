"""The menu in an extlinux.conf, syslinux.cfg or isolinux.cfg.

Format: doc/syslinux.txt of syslinux. Keywords are in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vagrantish.formats import bls
from vagrantish.formats.bls import BootEntry

_NO_KERNEL = (".c32", ".com", ".cbt", ".bin", ".0", ".bs", ".bss", ".img")


@dataclass(frozen=True, kw_only=True)
class SyslinuxMenu:
    entries: tuple[BootEntry, ...]
    default: str  # the name of an entry; "" when it names none


@dataclass
class _Label:
    name: str
    title: str = ""
    linux: str = ""
    initrds: list[str] = field(default_factory=list)
    append: str | None = None


def parse(text: str) -> SyslinuxMenu:
    labels: list[_Label] = []
    default = ""
    append = ""  # for labels without one of their own
    for line in text.splitlines():
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        key, value = key.lower(), value.strip()
        if key == "label" and len(labels) < bls.ENTRIES_MAX:
            labels.append(_Label(name=value))
        elif key in ("default", "ontimeout") and not labels:
            default = value
        elif key == "menu":
            kind, _, rest = value.partition(" ")
            if labels and kind.lower() == "label":
                labels[-1].title = rest.strip().replace("^", "")
            elif labels and kind.lower() == "default":
                default = labels[-1].name
        elif key == "append" and not labels:
            append = value
        elif labels:
            _take(labels[-1], key, value)
    entries = tuple(_entry(label, append) for label in labels if _boots(label))
    names = [entry.name for entry in entries]
    return SyslinuxMenu(entries=entries, default=default if default in names else "")


def _take(label: _Label, key: str, value: str) -> None:
    if key in ("linux", "kernel"):
        label.linux = value
    elif key == "initrd":
        label.initrds = value.replace(",", " ").split()
    elif key == "append":
        label.append = "" if value == "-" else value


def _boots(label: _Label) -> bool:
    return bool(label.linux) and not label.linux.lower().endswith(_NO_KERNEL)


def _entry(label: _Label, append: str) -> BootEntry:
    options = (append if label.append is None else label.append).split()
    initrds = label.initrds + [
        path
        for word in options
        if word.startswith("initrd=")
        for path in word.removeprefix("initrd=").split(",")
        if path
    ]
    return BootEntry(
        name=label.name,
        title=label.title or label.name,
        version=bls.release_of(label.linux),
        linux=label.linux,
        initrds=tuple(initrds),
        options=" ".join(word for word in options if not word.startswith("initrd=")),
    )
