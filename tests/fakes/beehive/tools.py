"""bhyvectl and ifconfig, as much of them as a machine needs."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from typing import Any, NoReturn

from tests.fakes.beehive.world import World, is_alive, new_interface, world_of

_ENDS_S = 10.0
_NAME = re.compile(r"(tap|bridge|epair|vlan)(\d*)")
_ACTIONS = {"destroy", "force-poweroff", "force-reset"}


def bhyvectl(argv: list[str]) -> NoReturn:
    """usr.sbin/bhyvectl/bhyvectl.c."""
    name, actions = "", []
    for word in argv[1:]:
        option, _, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and option == "vm":
            name = value
        elif word.startswith("--") and option in _ACTIONS:
            actions.append(option)
        else:
            _end(1, f"bhyvectl: unrecognized option `{word}'\nUsage: bhyvectl --vm=<vmname>\n")
    if not name:
        _end(1, "Usage: bhyvectl --vm=<vmname>\n")
    world = world_of(os.environ)
    if world.find(name) is None:
        _end(1, f"VM:{name} is not created.\n")
    if not world.root:
        _end(1, f"VM:{name} could not be opened: Operation not permitted\n")
    for action in actions:
        if action == "destroy":
            _destroy(world, name)
        else:
            world.change(name, asked=action.removeprefix("force-"))
    sys.exit(0)


def _destroy(world: World, name: str) -> None:
    vm = world.find(name)
    if vm is not None and is_alive(vm.pid):
        # The memory goes from under bhyve, which gives up.
        os.kill(vm.pid, signal.SIGKILL)
        deadline = time.monotonic() + _ENDS_S
        while is_alive(vm.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
    world.destroy(name)


def ifconfig(argv: list[str]) -> NoReturn:
    """``-l``, ``IF``, ``IF create``, ``IF destroy``, ``IF [addm MEMBER | deletem MEMBER] [up]``."""
    world = world_of(os.environ)
    if argv[1:] in (["-l"], []):
        with world.interfaces() as found:
            _end(0, out=" ".join(["lo0", *found]) + "\n")
    name, *words = argv[1:]
    if words and not world.root:
        _end(1, f"ifconfig: {name}: permission denied\n")
    if words == ["create"]:
        _end(0, out=_create(world, name))
    with world.interfaces() as found:
        if name not in found:
            _end(1, f"ifconfig: interface {name} does not exist\n")
        if words == ["destroy"]:
            del found[name]
            for other in found.values():
                other["members"] = [member for member in other["members"] if member != name]
        elif words:
            _configure(found, name, words)
        else:
            _end(0, out=_shown(name, found[name]["up"], found[name]["pid"]))
    sys.exit(0)


def _configure(found: dict[str, dict[str, Any]], name: str, words: list[str]) -> None:
    while words:
        word = words.pop(0)
        if word in {"addm", "deletem"}:
            _change_members(found, name, word, words.pop(0) if words else "")
        elif word in {"up", "down"}:
            found[name]["up"] = word == "up"
        else:
            _end(1, f"ifconfig: {word}: bad value\n")


def _create(world: World, name: str) -> str:
    kind = _NAME.fullmatch(name)
    if not kind:
        _end(1, "ifconfig: SIOCIFCREATE2: Invalid argument\n")
    with world.interfaces() as found:
        if kind[2] and name in found:
            _end(1, f"ifconfig: SIOCIFCREATE2 ({name}): File exists\n")
        made = name
        if not kind[2]:
            made = next(f"{name}{unit}" for unit in range(1 << 15) if f"{name}{unit}" not in found)
        found[made] = new_interface()
    return "" if kind[2] else f"{made}\n"


def _change_members(found: dict[str, dict[str, Any]], bridge: str, word: str, member: str) -> None:
    members = found[bridge]["members"]
    what = "BRDGADD" if word == "addm" else "BRDGDEL"
    if not bridge.startswith("bridge"):
        _end(1, f"ifconfig: {what} {member}: Inappropriate ioctl for device\n")
    if member not in found or (word == "deletem" and member not in members):
        _end(1, f"ifconfig: {what} {member}: No such file or directory\n")
    if word == "addm" and member in members:
        _end(1, f"ifconfig: BRDGADD {member}: File exists\n")
    if word == "addm":
        members.append(member)
    else:
        members.remove(member)


def _shown(name: str, up: bool, pid: int) -> str:
    flags = "flags=8843<UP,BROADCAST,RUNNING>" if up else "flags=8802<BROADCAST>"
    opened = f"\tOpened by PID {pid}\n" if pid and is_alive(pid) else ""
    return f"{name}: {flags} metric 0 mtu 1500\n{opened}"


def _end(status: int, err: str = "", *, out: str = "") -> NoReturn:
    os.write(2, os.fsencode(err))
    os.write(1, os.fsencode(out))
    sys.exit(status)
