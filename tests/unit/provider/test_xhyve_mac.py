"""The MAC that -M prints, and what it means when there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagrantish.errors import ProviderError
from vagrantish.provider.base import UuidRefused
from vagrantish.provider.child import Finished
from vagrantish.provider.xhyve.mac import mac_in, refusal

VMNET = "virtio_net: Could not create vmnet interface, permission denied or no entitlement?"


def finished(output: str, status: int | None = 1) -> Finished:
    return Finished(status=status, output=output, seconds=0.1)


@pytest.mark.parametrize(
    ("output", "mac"),
    [
        ("MAC: 9a:65:1b:12:cf:32", "9a:65:1b:12:cf:32"),
        ("rdmsr to register 0x140 on vcpu 0\nMAC: 9A:5:1b:0:cf:32", "9a:05:1b:00:cf:32"),
        ("MAC: 9a:65:1b:12:cf", ""),
        ("the MAC: 9a:65:1b:12:cf:32", ""),
        ("", ""),
    ],
)
def test_a_mac_is_read_with_two_digits_an_octet(output: str, mac: str) -> None:
    assert mac_in(output) == mac


@given(st.text())
def test_any_output_gives_a_mac_or_none(output: str) -> None:
    assert len(mac_in(output)) in (0, 17)


@pytest.mark.parametrize("output", [VMNET, ""])
def test_vmnets_refusal_and_silence_are_the_uuids_fault(output: str) -> None:
    assert isinstance(refusal(finished(output), "web"), UuidRefused)


@pytest.mark.parametrize(
    ("output", "status", "said"),
    [
        ("Unable to create VM (-85377018)", 1, "Unable to create VM"),
        ("", -6, "status -6"),
        ("", None, "within 30 s"),
    ],
)
def test_anything_else_is_told_as_it_is(output: str, status: int | None, said: str) -> None:
    error = refusal(finished(output, status), "web")

    assert type(error) is ProviderError
    assert said in error.message


@pytest.mark.parametrize(
    ("output", "status", "why", "hint"),
    [
        ("hv_vm_create HV_BUSY", 1, "Another hypervisor", "VirtualBox"),
        ("vmx_init: processor not supported by Hypervisor.framework", 1, "VT-x", "hv_support"),
        ("vmm_mem_alloc failed", 1, "memory", "memory"),
        ("", -9, "signature", "codesign"),
    ],
)
def test_a_known_cause_is_explained_as_that_of_a_start_is(
    output: str, status: int, why: str, hint: str
) -> None:
    error = refusal(finished(output, status), "web")

    assert why in error.message
    assert hint in error.hint
