"""A user's own arguments: what they would break, and which files they have opened."""

from __future__ import annotations

import shlex

import pytest

from vagrantish.provider.xhyve.extra import Refusal, Use, needs_root, uses
from vagrantish.provider.xhyve.flavour import Flavour

HEAD, HYPERKIT = Flavour.HEAD, Flavour.HYPERKIT
TAKEN = frozenset({(0, 0), (2, 0), (4, 0), (5, 0), (31, 0)})


def found(words: str, flavour: Flavour = HEAD) -> list[Use]:
    return uses(shlex.split(words), flavour, TAKEN)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-U x", "-U sets the UUID"),
        ("-F /x", "-F keeps a pid file"),
        ("-wM", "-M ends it"),
        ("-h", "-h ends it"),
        ("-v", "-v ends it"),
        ("-fkexec,a,b,c", "-f says what is booted"),
        ("-m 1G", "-m sets the memory"),
        ("-c 2", "-c sets the processors"),
        ("-Y", "-Y takes an argument, unlike what its help says"),
        ("-Y -w", "-Y takes an argument"),
        ("-s", "-s takes an argument"),
        ("-w foo -x", '"foo" is no option: all behind it would be ignored'),
        ("--", '"--" is no option'),
        ("-p 0:0", "-p is no option it has"),
        ("-l com1,autopty", "would take away the console"),
        ("-l COM2,stdio", "would take away the console"),
        ("-s 3,uart,stdio", "would take away the console"),
        ("-l bootrom,/x", "says what is booted"),
        ("-l com3", "a device it does not have"),
        ("-s 4:0,dummy", "a slot that is taken"),
        ("-s 3,dummy -s 3:0,dummy", "a slot that is taken"),
        ("-s 31,dummy", "a slot that is taken"),
        ("-s 30,lpc", "a second LPC bridge"),
        ("-s 3,e1000", "a second network card"),
        ("-s 1:3:0,dummy", "out of reach"),
        ("-s 32,dummy", "out of reach"),
        ("-s 3", "is not SLOT[:FUNCTION],DEVICE"),
        ("-s 3:,dummy", "is not SLOT[:FUNCTION],DEVICE"),
        ("-s ٣,dummy", "is not SLOT[:FUNCTION],DEVICE"),
        ("-s 3,nvme,/x", "a device it does not have"),
        ("-s 3,virtio-9p,x", "a device it does not have"),
        ("-s 3,fbuf", "says nothing of where it is shown"),
        ("-s 1,fbuf,rfb=1 -s 3,fbuf,rfb=2", "-s 3,fbuf,rfb=2 would be a second frame buffer"),
        ("-s 3,virtio-blk", "names no file"),
        ("-s 3,virtio-blk,,ro", "names no file"),
        ("-s 3,virtio-blk,/a,b", 'a disk has no option "b"'),
        ("-s 3,virtio-blk,/a,nocache", 'no option "nocache"'),
        ("-s 3,virtio-blk,/a,format=qcow", 'no option "format=qcow"'),
        ("-g x", "names no port"),
    ],
)
def test_what_would_break_is_refused_with_its_reason(words: str, expected: str) -> None:
    with pytest.raises(Refusal) as refused:
        found(words)

    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "-w -x -W -H -P -e -b -C -A -u",
        "-Yx",
        "-Y x -w",
        "-wxY1",
        "-g 1234",
        "-l com2",
        "-l com2,autopty",
        "-s 3,dummy -s 3:1,virtio-rnd",
        "-s 0:3:0,dummy",
        "-s 3,fbuf,rfb=1:2,w=3",
    ],
)
def test_what_breaks_nothing_passes_and_opens_nothing(words: str) -> None:
    assert found(words) == []


def test_a_zero_byte_cannot_be_an_argument() -> None:
    for words in (["-w\0"], ["-s", "3,dummy\0"]):
        with pytest.raises(Refusal, match="a zero byte"):
            uses(words, HEAD, TAKEN)


@pytest.mark.parametrize(
    ("words", "path", "write", "is_disk"),
    [
        ("-s 3,ahci-cd,/a.iso", "/a.iso", False, True),
        ("-s 3,virtio-blk,/dev/disk0", "/dev/disk0", True, True),
        ("-s3:1,ahci-hd,/d,sync,ro,sectorsize=512/4096", "/d", False, True),
        ("-l com2,/dev/ttys001", "/dev/ttys001", True, False),
        ("-s 3,uart,/dev/ttys001", "/dev/ttys001", True, False),
    ],
)
def test_the_files_that_are_opened_are_told(
    words: str, path: str, write: bool, is_disk: bool
) -> None:
    (use,) = found(words)

    assert (use.path, use.write, use.is_disk) == (path, write, is_disk)
    assert use.what in (words, words.replace("-s3", "-s 3"))


def test_hyperkit_takes_more_and_opens_more() -> None:
    disk, pty, log = found(
        "-s 3,virtio-blk,file:///d.qcow2,format=qcow -l com2,autopty=/p,log=/l -s 6,virtio-9p,x",
        HYPERKIT,
    )

    assert [use.path for use in (disk, pty, log)] == ["/d.qcow2", "/p", "/l"]
    assert found("-l com2,null -l com2,asl", HYPERKIT) == []
    with pytest.raises(Refusal, match="does not have"):
        found("-s 3,fbuf,rfb=1", HYPERKIT)


def test_devices_that_reach_what_vx_cannot_see_are_told() -> None:
    assert needs_root(("-w", "-s", "3,virtio-tap,tap0")) == "-s 3,virtio-tap,tap0"
    assert needs_root(("-s3,virtio-9p,path=/",)) == "-s 3,virtio-9p,path=/"
    assert needs_root(("-s3,virtio-blk,/d", "-s", "6,fbuf,rfb=1")) == ""
