"""Whatever vx lets through, xhyve reads as it was meant and can load; the double's parser judges."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.hyve import model
from tests.fakes.hyve.blocks import block_options
from tests.fakes.hyve.kexec import Loading, loading_of
from tests.fakes.hyve.nic import canonical_uuid
from tests.fakes.hyve.parse import parse
from tests.fakes.hyve.trying import bzimage
from tests.fuzz.budget import rounds
from vagrantish.model import Disk, FbsdLoader, Firmware, QemuOptions, VmSpec, XhyveOptions
from vagrantish.paths import MachineLayout
from vagrantish.provider.base import HostFacts
from vagrantish.provider.xhyve.argv import DISKS_MAX, links, slots_of, xhyve_argv
from vagrantish.provider.xhyve.checks import problems
from vagrantish.provider.xhyve.cmdline import complete, words_of
from vagrantish.provider.xhyve.extra import Refusal, uses
from vagrantish.provider.xhyve.flavour import Flavour
from vagrantish.units import GIB, MIB

if TYPE_CHECKING:
    from tests.fakes.hyve.model import CommandLine, Slot

ROUNDS = rounds(400)

SIGNS = st.sampled_from(",,,,\" '%?=#:;\\$&()[]~*!|<>`@+-.") | st.characters(
    codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]
)
NAMES = st.text(SIGNS, min_size=1, max_size=12).filter(lambda name: name.strip(".") == name)
CONSOLES = "console=tty0 console=ttyS0 console=ttyS0,115200 console=ttyS1 panic=0 -- quiet"
WORDS = st.sampled_from(
    [*CONSOLES.split(), "alpine_dev=cdrom:iso9660", "modules=loop,squashfs", 'dyndbg="file a +p"']
)
ODD_WORDS = WORDS | st.text(SIGNS | st.just("/"), max_size=10)
HEADERS = st.fixed_dictionaries({"cmdline_size": st.integers(20, 120) | st.just(2047)})
ODD_HEADERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        *({"init_size": size} for size in (1, 0x1000, 20 * MIB, 600 * MIB, 3 * GIB)),
        *({"alignment": size} for size in (0, 4096, 3 * MIB, 2 * MIB, 1 << 31)),
        *({"relocatable": 0, "pref_address": at} for at in (0, MIB - 1, MIB, 16 * MIB, 5 * GIB)),
        *({"initrd_max": at} for at in (0, 17 * MIB, 32 * MIB, 0x37FFFFFF)),
        *({"version": version} for version in (0x0209, 0x020A, 0x020F)),
        *({"syssize": size} for size in (0, 1, 1 << 20)),
        *({"size": size} for size in (2560, 2561, 2 * MIB)),
        {"loadflags": 0},
        {"boot_flag": 0},
        {"cmdline_size": 0},
    ]
)
ARGUMENTS = (
    "-w -Wx -Y x -Yx -e -A -M -uw -- - foo -g 1234 -s 3:0,dummy -s3:0,dummy -s3:0,dummy,x -s1,uart "
    "-s4:0,dummy -s7:7,dummy -s9,uart,autopty -s0:3:1,dummy -s1:3,dummy -s1:3:1,dummy -s3,e1000 "
    "-s3,virtio-net -s3,virtio-9p -s2:x,dummy -s+3,dummy -s3:,dummy -s3,fbuf -s3,fbuf,rfb=1 "
    "-s5,virtio-rnd -s2:0,dummy -s03,dummy -s31:0,dummy -s3:1,nvme -s3:2,hostbridge -s3:3,virtio-tap,tap0 -s30,lpc -l com2 "
    "-lCOM2,autopty -lcom1,stdio -lcom2,stdio -lcom2,null -lcom2,asl -lbootrom,x -lcom3 -f "
    "-fkexec,a,b,c -m1G -c -U -F/x -h -v -p -3"
)
ODD_EXTRA = st.lists(
    st.sampled_from(ARGUMENTS.split()) | st.text(SIGNS, max_size=6).map("-{}".format), max_size=2
)
EXTRA = st.lists(
    st.sampled_from([("-w",), ("-Y", "x"), ("-Wxe",), ("-lcom2",), ("-l", "com2,autopty")]),
    max_size=2,
    unique=True,
).map(lambda found: [word for words in found for word in words])
UUIDS = st.uuids(version=4).map(str)
ODD_UUIDS = st.sampled_from(
    ["", "00112233-4455-6677-8899-AABBCCDDEEFF", "00000000-0000-0000-f000-000000000000"]
)
SIZES = st.integers(40 * MIB, 2 * GIB)
KERNEL_END = 17 * MIB  # of one with nothing odd
ODD = (
    "extra extra kernel kernel initrd memory uuid cpus words disks uefi fbsd " + "- " * 4
).split()
ODD_SIZES = st.sampled_from([MIB, 17 * MIB, 3 * GIB + 1, 1 << 40])


@dataclass(frozen=True)
class Drawn:
    vm: VmSpec
    host: HostFacts
    flavour: Flavour

    @property
    def provider(self) -> str:
        return "hyperkit" if self.flavour is Flavour.HYPERKIT else "xhyve"

    @property
    def argv(self) -> tuple[str, ...]:
        """With its links made, as a start makes them."""
        for link, target in links(self.vm).items():
            link.symlink_to(target)
        options = self.vm.hyperkit if self.provider == "hyperkit" else self.vm.xhyve
        return (f"/opt/a b/{self.provider}", *xhyve_argv(self.vm, options, self.flavour))


@st.composite
def drawn(draw: st.DrawFn, root: Path) -> Drawn:
    """All names are odd, and one thing besides may be."""
    home = Path(tempfile.mkdtemp(dir=root))
    folder = home / draw(NAMES)
    folder.mkdir()
    own = home / draw(
        st.just("m") | NAMES.filter(lambda name: "," not in name and len(name.encode()) < 20)
    )
    own.mkdir(exist_ok=True)
    odd = draw(st.sampled_from(ODD))
    flavour = draw(st.sampled_from(Flavour))
    options = XhyveOptions(extra_args=tuple(draw(ODD_EXTRA if odd == "extra" else EXTRA)))
    memory_bytes = draw(ODD_SIZES if odd == "memory" else SIZES)
    vm = VmSpec(
        id="0f3c",
        name="web",
        uuid=draw(ODD_UUIDS if odd == "uuid" else UUIDS),
        arch="x86_64",
        cpus=draw(st.integers(0, 17) if odd == "cpus" else st.integers(1, 16)),
        memory_bytes=memory_bytes,
        kernel=None,
        initrd=None,
        cmdline=" ".join(draw(st.lists(ODD_WORDS if odd == "words" else WORDS, max_size=6))),
        disks=draw(disks_in(folder, odd == "disks")),
        mac="52:54:00:0a:0b:0c",
        ssh_port=0,
        ssh_port_fixed=False,
        forwards=(),
        cpu_level="x86-64-v1",
        qemu=QemuOptions(),
        xhyve=options,
        hyperkit=options,
        layout=MachineLayout(own),
    )
    ways = {
        "kernel": by_kernel(folder, odd, -(-memory_bytes // MIB) * MIB),
        "uefi": by_uefi(folder, odd == "uefi"),
        "fbsd": by_fbsd(folder, odd == "fbsd"),
    }
    way = "kernel" if odd in ("initrd", "words") else odd
    boots = draw(ways[way] if way in ways else st.one_of(*ways.values()))
    return Drawn(
        vm=replace(vm, **boots),
        host=HostFacts(program="/opt/xhyve", version="", accel="xhyve", flavour=flavour),
        flavour=flavour,
    )


@st.composite
def disks_in(draw: st.DrawFn, folder: Path, odd: bool) -> tuple[Disk, ...]:
    names = draw(st.lists(NAMES, max_size=3, unique=True))
    if odd:
        names = [f"d{number}" for number in range(draw(st.integers(7, DISKS_MAX + 1)))]
    made = []
    for number, name in enumerate(names):
        path = folder / f"{number}{name}"
        made.append(Disk(path=path, format="raw", serial="", readonly=draw(st.booleans())))
        with path.open("wb") as file:
            file.truncate(MIB)
    return tuple(made)


@st.composite
def by_kernel(draw: st.DrawFn, folder: Path, odd: str, memory_bytes: int) -> dict[str, Any]:
    kernel, initrd = folder / f"k{draw(NAMES)}", folder / f"i{draw(NAMES)}"
    kernel.write_bytes(bzimage(**draw(ODD_HEADERS if odd == "kernel" else HEADERS)))
    if draw(st.booleans()) and odd != "initrd":
        return {"kernel": kernel}
    room = max(0, min(memory_bytes, 3 * GIB, 2 * GIB) - KERNEL_END)
    sizes = st.integers(-4, 2).map(lambda pages: max(0, room + pages * 4096))
    with initrd.open("wb") as file:
        file.truncate(draw(sizes if odd == "initrd" else st.integers(1, MIB)))
    return {"kernel": kernel, "initrd": initrd}


@st.composite
def by_uefi(draw: st.DrawFn, folder: Path, odd: bool) -> dict[str, Any]:
    code = folder / f"f{draw(NAMES)}"
    with code.open("wb") as file:
        file.write(b"_FVH")
        file.truncate(draw(st.sampled_from([4097, 17 * MIB])) if odd else 8192)
    return {"firmware": Firmware(code=draw(st.sampled_from([code, None])) if odd else code)}


@st.composite
def by_fbsd(draw: st.DrawFn, folder: Path, odd: bool) -> dict[str, Any]:
    userboot, volume = folder / f"u{draw(NAMES)}", folder / f"v{draw(NAMES)}"
    userboot.write_bytes(b"\x7fELF" if odd else b"\xcf\xfa\xed\xfe")
    volume.write_bytes(bytes(512))
    found = draw(st.sampled_from([userboot, None])) if odd else userboot
    return {"fbsd": FbsdLoader(userboot=found, volume=volume)}


def test_whatever_is_accepted_xhyve_reads_as_it_was_meant(tmp_path: Path) -> None:
    accepted: Counter[tuple[str, str]] = Counter()

    @settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(drawn(tmp_path))
    def check(given: Drawn) -> None:
        if any(problems(given.vm, given.host, provider=given.provider)):
            return
        flavour = model.Flavour(given.flavour)

        line = parse(given.argv, flavour)

        the_machine_is_meant(given.vm, line, flavour)
        what_boots_is_meant(given.vm, line, flavour)
        boots = next(name for name in BOOTS if getattr(given.vm, name) is not None)
        accepted[given.flavour, boots] += 1

    check()

    assert {flavour for flavour, _ in accepted} == set(Flavour)
    assert {boots for _, boots in accepted} == set(BOOTS)
    assert (Flavour.OLD, "firmware") not in accepted
    assert accepted.total() > ROUNDS / 5


BOOTS = ("kernel", "firmware", "fbsd")


def the_machine_is_meant(vm: VmSpec, line: CommandLine, flavour: model.Flavour) -> None:
    assert line.cpus == vm.cpus
    assert line.memory_bytes - MIB < vm.memory_bytes <= line.memory_bytes
    assert line.uuid is not None
    assert canonical_uuid(line.uuid) == vm.uuid.lower()
    assert (line.acpi, line.utc, line.print_mac, line.pid_file) == (True, True, False, None)
    assert all(slot.bus == 0 for slot in line.slots)
    devices = [slot.emulation for slot in line.slots]
    assert sum(name in ("virtio-net", "e1000") for name in devices) == 1
    assert (devices.count("lpc"), line.slots[-1].slot) == (1, 31)
    assert (line.uarts[0].index, line.uarts[0].backend) == (0, "stdio")
    own = [slot for slot in line.slots if slot.emulation == "virtio-blk"]
    options = [block_options(config(slot), flavour) for slot in own]
    assert [Path(each.path).resolve() for each in options] == [d.path.resolve() for d in vm.disks]
    assert [each.read_only for each in options] == [disk.readonly for disk in vm.disks]


def what_boots_is_meant(vm: VmSpec, line: CommandLine, flavour: model.Flavour) -> None:
    if vm.firmware is not None:
        found = line.bootrom
        if flavour is model.Flavour.HYPERKIT:
            assert line.firmware is not None
            assert line.firmware.loader == "bootrom"
            found = line.firmware.kernel
        assert found is not None
        assert same(found, vm.firmware.code)
        return
    assert line.firmware is not None
    assert line.bootrom is None
    if vm.fbsd is not None:
        assert line.firmware.loader == "fbsd"
        assert same(line.firmware.kernel, vm.fbsd.userboot)
        assert same(line.firmware.initrd, vm.fbsd.volume)
        assert line.firmware.cmdline == vm.cmdline
        return
    assert line.firmware.loader == "kexec"
    assert same(line.firmware.kernel, vm.kernel)
    assert same(line.firmware.initrd, vm.initrd)
    assert line.firmware.cmdline == complete(vm.cmdline)
    assert loading_of(line.firmware, line.memory_bytes, flavour) is Loading.GOOD


def same(given: str, path: Path | None) -> bool:
    return path is None if not given else path is not None and Path(given).samefile(path)


def config(slot: Slot) -> str:
    assert slot.config is not None
    return slot.config


@settings(max_examples=ROUNDS)
@given(st.sampled_from(Flavour), ODD_EXTRA)
def test_arguments_of_the_users_own_that_are_accepted_change_nothing_of_the_machine(
    flavour: Flavour, words: list[str]
) -> None:
    argv = xhyve_argv(MACHINE, XhyveOptions(), flavour)
    without = parse([flavour, *argv], model.Flavour(flavour))
    try:
        uses(words, flavour, slots_of(MACHINE))
    except Refusal:
        return

    line = parse([flavour, *argv, *words], model.Flavour(flavour))

    added = [slot for slot in line.slots if slot not in without.slots]
    assert len(line.slots) == len(without.slots) + len(added)
    assert len(line.uarts) in (1, 2)
    same_but = {"slots": without.slots, "uarts": line.uarts[:1], "ignored": without.ignored}
    assert replace(line, **same_but, msi_x=True, mptable=True) == without  # type: ignore[arg-type]
    assert {slot.emulation for slot in added} <= {"dummy", "virtio-rnd", "hostbridge"} | {
        "virtio-tap", "uart", "fbuf", "virtio-9p"
    }  # fmt: skip


MACHINE = VmSpec(
    id="0f3c",
    name="web",
    uuid="0f3c0a52-9d5f-4c51-a8a0-3d4a0ea20a11",
    arch="x86_64",
    cpus=2,
    memory_bytes=256 * MIB,
    kernel=Path("/box/vmlinuz"),
    initrd=None,
    cmdline="",
    disks=(),
    mac="",
    ssh_port=0,
    ssh_port_fixed=False,
    forwards=(),
    cpu_level="x86-64-v1",
    qemu=QemuOptions(),
    layout=MachineLayout(Path("/m")),
)


@settings(max_examples=ROUNDS)
@given(st.lists(ODD_WORDS, max_size=8).map(" ".join))
def test_a_completed_command_line_keeps_its_words_and_ends_its_consoles_with_the_serial_one(
    cmdline: str,
) -> None:
    before, after = words_of(cmdline), words_of(complete(cmdline))

    if cmdline.count('"') % 2 == 0:
        own = after[: after.index("--")] if "--" in after else after
        consoles = [word for word in own if word.startswith(("console=", '"console='))]
        assert consoles[-1].strip('"').split(",")[0] == "console=ttyS0"
        assert any(word.startswith(("panic=", '"panic=')) for word in own)
        kept = [word for word in before if not word.startswith(("console=", '"console='))]
        assert [word for word in after if word in kept] == kept or "panic=1" in kept
    assert complete(complete(cmdline)) == complete(cmdline)
