"""What a provider cannot load is known from sizes alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vagrantish.bootlimits import Provider, memory_needed, problems
from vagrantish.formats.bzimage import Kernel
from vagrantish.units import GIB, MIB

QEMU, XHYVE = Provider.QEMU, Provider.XHYVE
BOTH = (QEMU, XHYVE)
# Of the Tiny Core kernel that xhyve is shipped with.
TINY_CORE = Kernel(
    protocol=0x020D,
    release="3.16.6-tinycore64 (tc@box) #777 SMP",
    cmdline_size=2047,
    system_size=3 * MIB,
    relocatable=True,
    alignment=16 * MIB,
    start=16 * MIB,
    preferred=16 * MIB,
    init_size=0xE77000,
    initrd_addr_max=0x7FFFFFFF,
    initrd_above_2g=False,
)
END = 16 * MIB + 0xE77000


@pytest.mark.parametrize("provider", BOTH)
def test_what_fits_has_no_problems(provider: Provider) -> None:
    assert problems(TINY_CORE, 15 * MIB, "console=ttyS0", 256 * MIB, provider) == ()
    assert problems(TINY_CORE, 0, "", None, provider) == ()


@pytest.mark.parametrize("provider", BOTH)
def test_the_kernel_needs_room_to_unpack_itself(provider: Provider) -> None:
    assert problems(TINY_CORE, 0, "", END, provider) == ()

    (problem,) = problems(TINY_CORE, 15 * MIB, "", END - 4096, provider)

    assert problem == (
        "kernel 3.16.6-tinycore64 unpacks itself in the first 30.5MiB of memory, and there are 30.5MiB"
    )


@pytest.mark.parametrize(("provider", "most"), [(QEMU, "2.7GiB"), (XHYVE, "3GiB")])
def test_memory_above_4_gib_is_of_no_use_to_a_kernel_that_unpacks_itself(
    provider: Provider, most: str
) -> None:
    huge = replace(TINY_CORE, init_size=3 * GIB)

    assert all(problems(huge, 0, "", memory, provider) for memory in (3 * GIB, 64 * GIB))
    assert f"at most {most}" in problems(huge, 0, "", None, provider)[0]


def test_a_machine_of_qemu_with_more_memory_has_less_of_it_in_the_beginning() -> None:
    big = replace(TINY_CORE, init_size=2 * GIB)

    assert problems(big, 0, "", 2500 * MIB, QEMU) == ()
    assert "at most 2GiB" in problems(big, 0, "", 4 * GIB, QEMU)[0]
    assert problems(big, 0, "", 4 * GIB, XHYVE) == ()


def test_an_initrd_that_would_lie_on_the_kernel_is_refused_to_the_byte() -> None:
    # kexec.c's rule, made safe: size + 4096 <= min(initrd_addr_max, low memory - 1) - end of the kernel.
    room = 256 * MIB - 1 - END - 4096

    assert problems(TINY_CORE, room, "", 256 * MIB, XHYVE) == ()
    (problem,) = problems(TINY_CORE, room + 1, "", 256 * MIB, XHYVE)
    assert problem.startswith("the initrd is 225.5MiB, and above the first 30.5MiB")


def test_qemu_keeps_the_end_of_memory_for_tables() -> None:
    room = 256 * MIB - 0x28000 - 1 - END - 4096

    assert problems(TINY_CORE, room, "", 256 * MIB, QEMU) == ()
    assert problems(TINY_CORE, room + 1, "", 256 * MIB, QEMU)


def test_a_64_bit_kernel_takes_an_initrd_above_2_gib_from_qemu_alone() -> None:
    modern = replace(TINY_CORE, initrd_above_2g=True)

    assert problems(modern, 2100 * MIB, "", None, QEMU) == ()
    assert problems(modern, 2100 * MIB, "", None, XHYVE)
    assert problems(TINY_CORE, 2100 * MIB, "", None, QEMU)


@pytest.mark.parametrize(
    ("size", "refusing"), [(2046, set()), (2047, {XHYVE}), (2048, {QEMU, XHYVE})]
)
def test_xhyve_counts_the_final_nul_of_the_command_line_in(
    size: int, refusing: set[Provider]
) -> None:
    found = {p for p in BOTH if problems(TINY_CORE, 0, "a" * (size - 2) + "ü", None, p)}

    assert found == refusing


@pytest.mark.parametrize(
    "changes",
    [
        {"system_size": TINY_CORE.init_size + 1},
        {"system_size": 0},
        {"alignment": 0},
        {"alignment": 3 * MIB},
        {"relocatable": False, "start": MIB - 1},
    ],
)
def test_xhyve_refuses_a_kernel_whose_header_contradicts_itself(changes: dict[str, int]) -> None:
    odd = replace(TINY_CORE, **changes)  # type: ignore[arg-type]

    assert problems(odd, 0, "", None, QEMU) == ()
    assert problems(odd, 0, "", None, XHYVE)


def test_an_initrd_lies_in_memory_packed_and_unpacked() -> None:
    assert memory_needed(TINY_CORE, 10 * MIB, 40 * MIB) == END + 50 * MIB
