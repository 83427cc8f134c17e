"""`vx lock`, `vx fetch` and `--locked`: what a project boots, pinned to the byte."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.corpbox import OTHER_ARCH, Corp, digest_of
from tests.fakes.http import FileServer, file_server
from tests.fakes.mounts import own_mounts
from tests.fakes.tinybox import ARCH, box_folder, kernel
from vagrantish.config import lockfile
from vagrantish.model import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Cli, Told

VX = Path(sys.executable).with_name("vx")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as files:
        yield files


@pytest.fixture
def corp(cli: Cli, server: FileServer, tmp_path: Path) -> Corp:
    """corp@1.1, and a home that knows of it."""
    made = Corp(server, tmp_path / "catalog")
    made.publish("1")
    cli.home.mkdir()
    (cli.home / "config.toml").write_text(f'catalogs = ["{made.catalog}"]\n', "utf-8")
    cli.xhyvefile('box = "corp@1"\n')
    return made


def lock_of(cli: Cli) -> Path:
    return cli.folder / "Xhyvefile.lock"


def locked(cli: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(lock_of(cli).read_text("utf-8")).get("box", [])
    return found


def forget(cli: Cli) -> None:
    """What a second, empty VX_HOME is to the project."""
    for entry in cli.home.iterdir():
        if entry.name != "config.toml":
            shutil.rmtree(entry)


def artifacts(cli: Cli) -> set[str]:
    return {path.name for path in (cli.home / "artifacts").glob("*/*")}


def mismatch(told: Told, code: str = "lock-mismatch") -> str:
    assert told.status == 4, told
    assert told.error["code"] == code, told
    message: str = told.error["message"]
    return message


# --- what is written ------------------------------------------------------------------------------


def test_the_first_fetch_writes_the_lock_and_the_next_ones_leave_it(cli: Cli, corp: Corp) -> None:
    assert cli("fetch").status == 0

    here, there = sorted(locked(cli), key=lambda box: bool(box["arch"] == OTHER_ARCH))
    assert {key: here[key] for key in ("name", "asked", "arch", "version")} == {
        "name": "corp", "asked": "1", "arch": ARCH, "version": "1.1",
    }  # fmt: skip
    assert here["file"] == [
        {"part": "kernel", "url": corp.url("1"), "digest": corp.digest("1"),
         "size": len(corp.server.files[corp.path("1")])},
    ]  # fmt: skip
    assert (there["arch"], there["file"][0]["digest"]) == (
        OTHER_ARCH, corp.digest("1", arch=OTHER_ARCH),
    )  # fmt: skip
    text = lock_of(cli).read_bytes()
    for words in (("fetch",), ("lock",), ("fetch", "--locked")):
        assert cli(*words).status == 0
        assert lock_of(cli).read_bytes() == text
    assert "up to date" in cli("lock").err


def test_lock_says_what_changed(cli: Cli, corp: Corp) -> None:
    assert cli("lock").out == "corp@1: 1.1\n"

    corp.publish("1", "2")
    assert cli("lock").out == ""
    assert cli("fetch").status == 0
    assert {box["version"] for box in locked(cli)} == {"1.1"}

    moved = cli("lock", "--update", "corp", "--json").answer
    assert moved["changes"] == [{"box": "corp", "asked": "1", "before": "1.1", "after": "1.2"}]
    assert {box["version"] for box in locked(cli)} == {"1.2"}

    cli.xhyvefile('box = "corp"\n')
    assert cli("lock").out.splitlines() == ["corp: 1.2", "corp@1: not asked for any more"]


def test_update_alone_moves_every_box(cli: Cli, corp: Corp) -> None:
    corp.publish("1", name="other")
    cli.xhyvefile('[machines.a]\nbox = "corp"\n[machines.b]\nbox = "other"\n')
    cli("lock")
    corp.publish("1", "2")
    corp.publish("1", "2", name="other")

    assert cli("lock", "--update", "other").out == "other: 1.1 → 1.2\n"
    assert cli("lock", "--update").out == "corp: 1.1 → 1.2\n"


def test_a_box_the_project_does_not_have_cannot_be_updated(cli: Cli, corp: Corp) -> None:
    cli("lock")
    text = lock_of(cli).read_bytes()

    told = cli("lock", "--update", "crop")

    assert told.status == 4
    assert "the project has no box crop" in told.err
    assert "It has corp." in told.err
    assert lock_of(cli).read_bytes() == text


def test_two_machines_that_ask_alike_are_one_entry_and_others_their_own(
    cli: Cli, corp: Corp
) -> None:
    corp.publish("1", "2")
    cli.xhyvefile(
        '[machines.a]\nbox = "corp@1.1"\n[machines.b]\nbox = "corp@1.2"\n'
        '[machines.c]\nbox = "corp@1.1"\n'
    )

    assert cli("fetch").status == 0

    here = [
        (box["asked"], box["version"], box["file"][0]["digest"])
        for box in locked(cli)
        if box["arch"] == ARCH
    ]
    assert here == [("1.1", "1.1", corp.digest("1")), ("1.2", "1.2", corp.digest("2"))]


def test_a_project_in_a_folder_nobody_may_write_works_with_a_warning(cli: Cli, corp: Corp) -> None:
    shell = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && exec "$2" fetch'
    done = subprocess.run(
        [*own_mounts(), "sh", "-c", shell, "sh", cli.folder, VX],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"VX_HOME": str(cli.home)},
    )  # fmt: skip

    assert done.returncode == 0, done
    assert "warning: the lock is not kept: cannot write" in done.stderr
    assert "All is here: corp@1.1" in done.stderr
    assert not lock_of(cli).exists()


# --- what a lock is for ---------------------------------------------------------------------------


def test_a_second_home_gets_the_same_bytes_though_newer_ones_are_published(
    cli: Cli, corp: Corp
) -> None:
    cli("fetch")
    first = artifacts(cli)
    forget(cli)
    corp.publish("1", "2")

    assert cli("fetch", "--locked").status == 0

    assert artifacts(cli) == first


def test_a_build_the_definition_has_no_more_is_still_the_locked_one(cli: Cli, corp: Corp) -> None:
    cli("fetch")
    first = artifacts(cli)
    forget(cli)
    corp.publish("2")

    told = cli("fetch", "--locked", "--json")

    assert told.answer["boxes"] == ["corp@1.1"]
    assert artifacts(cli) == first


def test_a_box_that_no_catalog_knows_any_more_is_told(cli: Cli, corp: Corp) -> None:
    cli("fetch")
    forget(cli)
    shutil.rmtree(corp.catalog / "corp")

    told = cli("fetch", "--locked")

    assert (told.status, "no box corp is known" in told.err) == (4, True)


def test_once_fetched_nothing_is_asked_of_the_network(cli: Cli, corp: Corp) -> None:
    script = b"#!/bin/sh\necho from the web\n"
    corp.server.files["/setup.sh"] = script
    url = f"{corp.server.url}/setup.sh"
    cli.xhyvefile(f'box = "corp"\n[[provision]]\nurl = "{url}"\ndigest = "{digest_of(script)}"\n')
    told = cli("fetch", "--json")
    assert told.answer["scripts"] == [url]
    assert tomllib.loads(lock_of(cli).read_text())["script"] == [
        {"url": url, "digest": digest_of(script)}
    ]
    corp.server.requests.clear()

    assert cli("fetch", "--locked", "--offline").status == 0
    assert corp.server.requests == []


def test_offline_with_nothing_fetched_is_one_clear_error(cli: Cli, corp: Corp) -> None:
    cli("lock")
    forget(cli)
    corp.server.requests.clear()

    told = cli("up", "--locked", "--offline")

    assert told.status == 4
    assert corp.url("1") in told.err
    assert "offline" in told.err
    assert corp.server.requests == []


@pytest.mark.parametrize("verb", ["lock", "fetch"])
def test_what_others_boot_stays_when_another_architecture_is_added(
    cli: Cli, corp: Corp, verb: str
) -> None:
    cli("lock")
    whole = lockfile.parse(lock_of(cli).read_text("utf-8"), "x")
    theirs = tuple(box for box in whole.boxes if box.arch == OTHER_ARCH)
    lock_of(cli).write_text(lockfile.encode(Lock(boxes=theirs)), "utf-8")
    forget(cli)
    corp.publish("1", "2")

    assert cli(verb).status == 0

    after = lockfile.parse(lock_of(cli).read_text("utf-8"), "x")
    assert theirs == tuple(box for box in after.boxes if box.arch == OTHER_ARCH)
    assert after.box("corp", "1", ARCH) is not None


# --- what is not as the lock has it ---------------------------------------------------------------


@pytest.mark.parametrize("verb", ["up", "fetch"])
def test_locked_refuses_what_the_lock_does_not_have(cli: Cli, corp: Corp, verb: str) -> None:
    told = cli(verb, "--locked", "--json")
    assert mismatch(told) == f"Xhyvefile.lock has nothing of the box corp@1 for {ARCH}"

    cli("fetch")
    corp.publish("1", "2")
    cli.xhyvefile('box = "corp@1.2"\n')

    told = cli(verb, "--locked", "--json")

    assert mismatch(told) == f"Xhyvefile.lock has nothing of the box corp@1.2 for {ARCH}"
    assert "vx lock" in told.error["hint"]
    assert "2" not in {path.name for path in (cli.home / "boxes/corp").iterdir()}


def test_locked_leaves_the_lock_alone(cli: Cli, corp: Corp) -> None:
    cli("lock")
    text = lock_of(cli).read_bytes()
    corp.publish("1", name="other")
    cli.xhyvefile('[machines.a]\nbox = "corp@1"\n[machines.b]\nbox = "other"\n')

    assert mismatch(cli("fetch", "--locked", "--json"))
    assert lock_of(cli).read_bytes() == text


@pytest.mark.parametrize("words", [("--locked",), ()])
def test_other_bytes_under_the_locked_address_are_never_taken(
    cli: Cli, corp: Corp, words: tuple[str, ...]
) -> None:
    cli("fetch")
    expected = corp.digest("1")
    forget(cli)
    changed = bytearray(corp.server.files[corp.path("1")])
    changed[-1] ^= 1
    corp.server.files[corp.path("1")] = bytes(changed)

    told = cli("fetch", *words, "--json")

    message = mismatch(told, "digest-mismatch")
    assert corp.url("1") in message
    assert expected in message
    assert digest_of(bytes(changed)) in message
    assert artifacts(cli) == set()


def test_a_box_in_the_store_that_is_another_is_told_with_both_digests(cli: Cli, corp: Corp) -> None:
    cli("fetch")
    expected = corp.digest("1")
    corp.server.files[corp.path("1")] += b"rebuilt"
    text = (corp.catalog / "corp/box.toml").read_text()
    size = len(corp.server.files[corp.path("1")])
    text = text.replace(expected, corp.digest("1"))
    text = re.sub(rf"({corp.digest('1')}\", kernel.size = )\d+", rf"\g<1>{size}", text)
    (corp.catalog / "corp/box.toml").write_text(text)
    assert cli("box", "add", "corp@1.1", "--force").status == 0

    told = cli("fetch", "--json")

    assert mismatch(told) == (
        "the kernel of corp@1.1 is not the one in Xhyvefile.lock: "
        f"expected {expected}, found {corp.digest('1')}"
    )


def test_a_script_with_another_digest_than_the_locked_one_is_told(cli: Cli, corp: Corp) -> None:
    old, new = b"#!/bin/sh\necho one\n", b"#!/bin/sh\necho two\n"
    url = f"{corp.server.url}/setup.sh"
    text = f'box = "corp"\n[[provision]]\nurl = "{url}"\ndigest = '
    corp.server.files["/setup.sh"] = old
    cli.xhyvefile(f'{text}"{digest_of(old)}"\n')
    cli("fetch")
    corp.server.files["/setup.sh"] = new
    cli.xhyvefile(f'{text}"{digest_of(new)}"\n')

    told = cli("fetch", "--locked", "--json")
    message = mismatch(told)
    assert all(part in message for part in (url, digest_of(old), digest_of(new)))

    assert cli("fetch").status == 0
    assert [script["digest"] for script in tomllib.loads(lock_of(cli).read_text())["script"]] == [
        digest_of(new)
    ]


def test_a_script_that_changed_on_its_server_is_told(cli: Cli, corp: Corp) -> None:
    old = b"#!/bin/sh\necho one\n"
    corp.server.files["/setup.sh"] = b"#!/bin/sh\nrm -rf /\n"
    cli.xhyvefile(
        f'box = "corp"\n[[provision]]\nurl = "{corp.server.url}/setup.sh"\n'
        f'digest = "{digest_of(old)}"\n'
    )

    message = mismatch(cli("fetch", "--json"), "digest-mismatch")

    assert f"{corp.server.url}/setup.sh" in message
    assert digest_of(old) in message
    assert digest_of(corp.server.files["/setup.sh"]) in message


def add_local(cli: Cli, folder: Path, name: str, version: str) -> None:
    assert cli("box", "add", str(folder), "--name", name, "--version", version).status == 0


def test_somebody_elses_micro_is_noted_and_with_locked_refused(cli: Cli, tmp_path: Path) -> None:
    cli.xhyvefile('box = "micro"\n')
    add_local(cli, box_folder(tmp_path, version="1"), "micro", "1")
    assert cli("fetch").status == 0
    (box,) = locked(cli)
    assert box["file"] == [
        {"part": "kernel", "size": len(kernel() + b"1"), "digest": digest_of(kernel() + b"1")}
    ]
    assert cli("fetch", "--locked").status == 0
    assert cli("box", "remove", "--yes", "micro").status == 0
    add_local(cli, box_folder(tmp_path, version="2"), "micro", "2")

    told = cli("fetch")
    assert told.status == 0
    assert "Xhyvefile.lock has micro@1, and here it is micro@2" in told.err

    told = cli("fetch", "--locked", "--json")
    assert "Xhyvefile.lock has micro@1, and here it is micro@2" in mismatch(told)
    assert "vx lock --update micro" in told.error["hint"]


def test_a_box_added_from_somebodys_files_cannot_be_fetched(cli: Cli, tmp_path: Path) -> None:
    cli.xhyvefile('box = "tiny"\n')
    assert cli("box", "add", str(box_folder(tmp_path))).status == 0
    assert cli("fetch").status == 0
    assert cli("box", "remove", "--yes", "tiny").status == 0

    told = cli("fetch", "--json")

    assert mismatch(told, "box-not-found") == (
        "Xhyvefile.lock has tiny@1, which was added from somebody's own files"
    )
    assert "vx box add" in told.error["hint"]


# --- locks that are none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (("schema = 1", "schema = 2"), "Xhyvefile.lock:3: it was written by a newer vx"),
        (("sha256:", "md5:"), 'Xhyvefile.lock:14: `digest` is "sha256:" or'),
        (("[[box]]", "[[box"), "Xhyvefile.lock:5"),
        (('version = "1.1"', 'version = "../1"'), "Xhyvefile.lock:9: `version` is no name"),
        (("http:", "file:"), "Xhyvefile.lock:12: `url` begins with neither"),
        (("[[box.file]]", "mode = 1\n[[box.file]]"), "Xhyvefile.lock:10: `mode` has no place here"),
    ],
)
@pytest.mark.parametrize("verb", ["fetch", "up"])
def test_a_damaged_lock_is_told_with_its_line(
    cli: Cli, corp: Corp, verb: str, damage: tuple[str, str], said: str
) -> None:
    cli("lock")
    text = lock_of(cli).read_text("utf-8").replace(*damage, 1)
    lock_of(cli).write_text(text, "utf-8")

    told = cli(verb)

    assert told.status == 3, told
    assert said in told.err
    assert lock_of(cli).read_text("utf-8") == text


def test_what_a_merge_left_in_two_is_told(cli: Cli, corp: Corp) -> None:
    cli("lock")
    text = lock_of(cli).read_text("utf-8")
    lock_of(cli).write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n", "utf-8")

    told = cli("fetch")

    assert told.status == 3
    assert "A merge left both sides in it" in told.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\0" * 100, b"x" * (2 << 20)])
def test_a_file_that_is_no_text_is_told(cli: Cli, corp: Corp, content: bytes) -> None:
    lock_of(cli).write_bytes(content)

    told = cli("fetch")

    assert told.status in (3, 5)
    assert "Xhyvefile.lock" in told.err


def test_the_lock_of_another_xhyvefile_is_its_own(cli: Cli, corp: Corp) -> None:
    cli.xhyvefile('box = "corp@1"\n', "other.toml")

    assert cli("-f", "other.toml", "lock").status == 0

    assert (cli.folder / "other.toml.lock").exists()
    assert not lock_of(cli).exists()


def test_json_of_a_lock_that_has_all_is_empty(cli: Cli, corp: Corp) -> None:
    cli("lock")

    answer = json.loads(cli("lock", "--json").out)

    assert answer["changes"] == []
    assert answer["file"] == str(lock_of(cli))
