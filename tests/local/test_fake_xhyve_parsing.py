"""How the stand-in for xhyve reads its command line: the tables of what it takes and refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.hyve.blocks import BlockOptions, InvalidOption, block_options
from tests.fakes.hyve.cscan import atoi, scan_decimals
from tests.fakes.hyve.model import CommandLine, Firmware, Flavour, Slot, Uart
from tests.fakes.hyve.nic import canonical_uuid
from tests.fakes.hyve.parse import Ends, parse

MIB = 1 << 20
EVERY = list(Flavour)
BOOTS = ("-f", "kexec,k,i,c")


def parsed(*words: str, flavour: Flavour = Flavour.HEAD) -> CommandLine:
    return parse(["/usr/local/bin/xhyve", *words, *BOOTS], flavour)


def refusal(*words: str, flavour: Flavour = Flavour.HEAD) -> Ends:
    with pytest.raises(Ends) as caught:
        parse(["/usr/local/bin/xhyve", *words], flavour)
    return caught.value


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512 * MIB), ("512M", 512 * MIB), ("512m", 512 * MIB), ("512MB", 512 * MIB),
        ("512MiB", 512 * MIB), ("1G", 1 << 30), ("1024M", 1 << 30), ("2147483648", 2 << 30),
        ("4096b", 4096), ("4096", 4 << 30), ("010", 8 * MIB), ("0x200", 512 * MIB),
        ("2000000", 2_000_000), ("", 0), ("0", 0), ("1048575", 1048575 * MIB),
        ("1048576", 1048576), ("1k", 1024), ("2T", 2 << 40), ("1p", 1 << 50), ("1E", 1 << 60),
        (" 512", 512 * MIB), ("M", 0), ("-1", 2**64 - 1), ("99999999999999999999", 2**64 - 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("flavour", EVERY)
def test_memory_sizes(text: str, size: int, flavour: Flavour) -> None:
    assert parsed("-m", text, flavour=flavour).memory_bytes == size


@pytest.mark.parametrize(
    "text", ["1.5G", "512 M", "x", "lots", "08", "0x", "32E", "512,", "99999999999999999999k"]
)
def test_what_is_no_memory_size(text: str) -> None:
    ends = refusal("-m", text)

    assert (ends.status, ends.err) == (64, f"xhyve: invalid memsize '{text}'\n")


def test_memory_is_256_mib_when_nobody_says() -> None:
    assert parsed().memory_bytes == 256 * MIB


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("0", (0, 0, 0)), ("31", (0, 31, 0)), ("2:7", (0, 2, 7)), ("255:31:7", (255, 31, 7)),
        ("2foo", (0, 2, 0)), ("2:", (0, 2, 0)), ("2:1x", (0, 2, 1)), (" 3", (0, 3, 0)),
        ("+4", (0, 4, 0)), ("1:2:x", (0, 1, 2)), ("1:2:3:4", (1, 2, 3)), ("02", (0, 2, 0)),
    ],
)  # fmt: skip
def test_places_of_slots(place: str, where: tuple[int, int, int]) -> None:
    (slot,) = parsed("-s", f"{place},dummy").slots

    assert (slot.bus, slot.slot, slot.func) == where


@pytest.mark.parametrize(
    "text",
    ["32,lpc", "2:8,lpc", "256:0:0,lpc", "-1,lpc", "2:-1,lpc", "lpc", "2", ",lpc", "x,lpc", ""],
)
@pytest.mark.parametrize("flavour", EVERY)
def test_what_is_no_place(text: str, flavour: Flavour) -> None:
    ends = refusal("-s", text, flavour=flavour)

    assert (ends.status, ends.err) == (1, f'Invalid PCI slot info field "{text}"\n')


@pytest.mark.parametrize(
    ("text", "emulation", "config"),
    [
        ("2,virtio-blk", "virtio-blk", None),
        ("2,virtio-blk,", "virtio-blk", ""),
        ("2,virtio-blk,/a b:c,ro,sync", "virtio-blk", "/a b:c,ro,sync"),
        ("2,virtio-net,en0", "virtio-net", "en0"),
    ],
)
def test_a_device_gets_everything_after_its_name(
    text: str, emulation: str, config: str | None
) -> None:
    (slot,) = parsed("-s", text).slots

    assert (slot.emulation, slot.config) == (emulation, config)


@pytest.mark.parametrize(
    ("name", "flavours"),
    [
        *[(name, set(EVERY)) for name in (
            "hostbridge", "amd_hostbridge", "lpc", "virtio-net", "virtio-tap", "virtio-blk",
            "ahci-hd", "ahci-cd", "virtio-rnd", "uart", "dummy",
        )],
        *[(name, {Flavour.HEAD, Flavour.OLD}) for name in ("e1000", "fbuf")],
        *[(name, {Flavour.HYPERKIT}) for name in ("virtio-9p", "virtio-sock", "virtio-vpnkit")],
        *[(name, set()) for name in (
            "xhci", "passthru", "nvme", "virtio-scsi", "virtio-console", "LPC", "Virtio-blk", "",
        )],
    ],
)  # fmt: skip
@pytest.mark.parametrize("flavour", EVERY)
def test_the_devices_of_each_flavour(name: str, flavours: set[Flavour], flavour: Flavour) -> None:
    text = f"3:1,{name}"

    if flavour in flavours:
        assert parsed("-s", text, flavour=flavour).slots[0].emulation == name
    else:
        ends = refusal("-s", text, flavour=flavour)
        assert (ends.status, ends.err) == (1, f'pci slot 3:1: unknown device "{name}"\n')


def test_slots_are_in_order_and_one_place_of_two_buses_is_two() -> None:
    line = parsed("-s", "31,lpc", "-s", "1:2:0,dummy", "-s", "2,dummy", "-s", "0,hostbridge")

    assert [(slot.bus, slot.slot) for slot in line.slots] == [(0, 0), (0, 2), (0, 31), (1, 2)]


@pytest.mark.parametrize(
    ("text", "uart"),
    [
        ("com1", Uart(index=0, backend=None)),
        ("COM2,stdio", Uart(index=1, backend="stdio")),
        ("Com1,autopty=a,log=b", Uart(index=0, backend="autopty=a,log=b")),
        ("com1,", Uart(index=0, backend="")),
    ],
)
def test_serial_ports(text: str, uart: Uart) -> None:
    assert parsed("-l", text).uarts == (uart,)


def test_a_serial_port_given_again_is_replaced() -> None:
    assert parsed("-l", "com1,stdio", "-l", "com1").uarts == (Uart(index=0, backend=None),)


@pytest.mark.parametrize("text", ["com3,stdio", "com", "", ",stdio", "lpt1", "com1 ,stdio"])
def test_what_is_no_lpc_device(text: str) -> None:
    ends = refusal("-l", text)

    said = f"xhyve: invalid lpc device configuration '{text}'\n"
    assert (ends.status, ends.err) == (64, said)


def test_a_boot_rom_is_firmware_where_it_is_known() -> None:
    line = parse(["xhyve", "-l", "bootrom,/fw.fd"], Flavour.HEAD)

    assert (line.bootrom, line.firmware) == ("/fw.fd", None)
    assert refusal("-l", "bootrom").err.startswith("Usage: xhyve ")
    assert refusal("-l", "bootrom,/fw.fd", flavour=Flavour.OLD).status == 64
    assert refusal("-l", "bootrom,/fw.fd", flavour=Flavour.HYPERKIT).status == 64


FIRMWARE = [
    ("kexec,vmlinuz,initrd.gz,", Firmware(loader="kexec", kernel="vmlinuz", initrd="initrd.gz", cmdline="auto")),
    ("kexec,vmlinuz,,", Firmware(loader="kexec", kernel="vmlinuz", initrd="", cmdline="auto")),
    ("kexec,k,i,a=1,2 b", Firmware(loader="kexec", kernel="k", initrd="i", cmdline="a=1,2 b")),
    ("kexecutive,k,i,c", Firmware(loader="kexec", kernel="k", initrd="i", cmdline="c")),
    ("kexec,/a b:c,'i',\"c\"", Firmware(loader="kexec", kernel="/a b:c", initrd="'i'", cmdline='"c"')),
    ("fbsd,u,v,e,f", Firmware(loader="fbsd", kernel="u", initrd="v", cmdline="e,f")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "firmware"), FIRMWARE)
@pytest.mark.parametrize("flavour", EVERY)
def test_firmware(text: str, firmware: Firmware, flavour: Flavour) -> None:
    assert parse(["xhyve", "-f", text], flavour).firmware == firmware


@pytest.mark.parametrize(
    "text",
    ["kexec", "kexec,k", "kexec,k,i", "kexec,vmlinuz,initrd.gz", "Kexec,k,i,c", "", ",k,i,c",
     "bootrom,rom", "multiboot,k,m,c", "fbsd,u,v"],
)  # fmt: skip
@pytest.mark.parametrize("flavour", [Flavour.HEAD, Flavour.OLD])
def test_what_is_no_firmware(text: str, flavour: Flavour) -> None:
    ends = refusal("-f", text, flavour=flavour)

    first, *syntax = ends.err.splitlines()
    assert (ends.status, first) == (1, "Invalid firmware argument")
    assert [line[:7] for line in syntax] == ["    -f "] * 2


@pytest.mark.parametrize(
    ("text", "firmware"),
    [
        ("kexec,k", Firmware(loader="kexec", kernel="k", initrd="", cmdline="auto")),
        ("kexec,k,i", Firmware(loader="kexec", kernel="k", initrd="i", cmdline="auto")),
        ("bootrom,rom", Firmware(loader="bootrom", kernel="rom", initrd="", cmdline="")),
        ("multiboot,k,m;a:n,c", Firmware(loader="multiboot", kernel="k", initrd="m;a:n", cmdline="c")),
        ("fbsd,u,v", Firmware(loader="fbsd", kernel="u", initrd="v", cmdline="")),
    ],
)  # fmt: skip
def test_hyperkit_leaves_fields_out(text: str, firmware: Firmware) -> None:
    assert parse(["hyperkit", "-f", text], Flavour.HYPERKIT).firmware == firmware


@pytest.mark.parametrize("text", ["kexec", "kexec,", "kexec,,i,c", "bootrom", "fbsd,u", "elf,k"])
def test_what_is_no_firmware_of_hyperkit(text: str) -> None:
    ends = refusal("-f", text, flavour=Flavour.HYPERKIT)

    first, *syntax = ends.err.splitlines()
    assert (ends.status, first) == (1, "Invalid firmware argument")
    assert [line[:7] for line in syntax] == ["    -f "] * 4


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        ("", "00000000-0000-0000-0000-000000000000"),
        ("00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),
        ("e083cf15-cbfc-4f31-a92b-0de72c86e857", "e083cf15-cbfc-4f31-a92b-0de72c86e857"),
        ("00112233-4455-6677-d899-aabbccddeeff", "00112233-4455-6677-d899-aabbccddeeff"),
    ],
)
def test_uuids(text: str, uuid: str) -> None:
    assert canonical_uuid(text) == uuid


@pytest.mark.parametrize(
    "text",
    [
        "00112233-4455-6677-e899-aabbccddeeff", "00112233-4455-6677-f899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeeff0",
        "00112233445566778899aabbccddeeff0000", "0011223-34455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeegg", "vm",
    ],
)  # fmt: skip
def test_what_is_no_uuid(text: str) -> None:
    assert canonical_uuid(text) is None


def test_flags_may_be_bundled_and_arguments_attached() -> None:
    line = parsed("-Aum512M", "-c2", "-Yx", "-W", "-F", "pid", "-Uu")

    assert (line.acpi, line.utc, line.mptable, line.msi_x) == (True, True, False, False)
    assert (line.memory_bytes, line.cpus) == (512 * MIB, 2)
    assert (line.pid_file, line.uuid) == ("pid", "u")


def test_the_last_of_two_values_counts() -> None:
    line = parsed("-c", "2", "-c", "4", "-f", "kexec,other,,", "-m", "1G", "-m", "2G")

    assert (line.cpus, line.memory_bytes) == (4, 2 << 30)
    assert line.firmware is not None
    assert line.firmware.kernel == "k"


@pytest.mark.parametrize("operand", ["x", "-", "--"])
def test_words_after_an_operand_are_not_looked_at(operand: str) -> None:
    line = parse(["xhyve", *BOOTS, operand, "-A", "-s", "nonsense"], Flavour.HEAD)

    assert not line.acpi


def test_there_are_no_long_options() -> None:
    ends = refusal("--help")

    assert ends.status == 1
    assert ends.err.startswith("xhyve: illegal option -- -\nUsage: ")


@pytest.mark.parametrize("letter", "fFgcsmlUY")
def test_an_option_without_its_argument(letter: str) -> None:
    ends = refusal(f"-{letter}")

    assert ends.status == 1
    assert ends.err.startswith(f"xhyve: option requires an argument -- {letter}\nUsage: ")


def test_options_act_in_order() -> None:
    helped, failed = refusal("-h", "-s", "32,lpc"), refusal("-s", "32,lpc", "-h")

    assert (helped.status, failed.status) == (0, 1)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("/d", BlockOptions(path="/d")),
        ("/a b:c,ro", BlockOptions(path="/a b:c", read_only=True)),
        ("/d,sync", BlockOptions(path="/d", sync=True)),
        ("/d,direct,ro", BlockOptions(path="/d", sync=True, read_only=True)),
        ("/d,nocache", BlockOptions(path="/d", nocache=True)),
        ("/d,sectorsize=512", BlockOptions(path="/d", sectors=(512, 512))),
        ("/d,sectorsize=512/4096", BlockOptions(path="/d", sectors=(512, 4096))),
        ("", BlockOptions(path="")),
        ("file:///d", BlockOptions(path="file:///d")),
    ],
)
def test_options_of_a_disk(text: str, options: BlockOptions) -> None:
    assert block_options(text, Flavour.HEAD) == options


@pytest.mark.parametrize("word", ["format=qcow", "b", "", "RO", "sectorsize=", "ro "])
def test_what_is_no_option_of_a_disk(word: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{word}$"):
        block_options(f"/d,{word}", Flavour.HEAD)


def test_hyperkit_knows_where_a_qcow2_image_lies() -> None:
    options = block_options("file:///d,format=qcow,qcow-config=discard=true", Flavour.HYPERKIT)

    assert options.path == "/d"


@given(st.lists(st.text(max_size=12), max_size=6), st.sampled_from(EVERY))
def test_any_words_come_to_a_line_or_to_an_end(words: list[str], flavour: Flavour) -> None:
    try:
        line: CommandLine | Ends = parse(["xhyve", *words], flavour)
    except Ends as ends:
        line = ends

    if isinstance(line, Ends):
        assert line.status in {0, 1, 64}
    else:
        assert line.firmware or line.bootrom is not None


@given(st.integers(-(2**31), 2**31 - 1), st.text("x:, ", max_size=3))
def test_numbers_are_read_as_far_as_they_go(number: int, rest: str) -> None:
    assert atoi(f" {number}{rest}") == number
    assert scan_decimals(f"{number}{rest}", most=1) == [number]


def test_a_slot_is_a_value() -> None:
    slot = Slot(bus=0, slot=2, func=0, emulation="dummy", config=None)

    assert parsed("-s", "2,dummy").slots == (slot,)
