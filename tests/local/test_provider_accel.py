"""What can be told without running QEMU; the timed probe itself is tried in tests/vm."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vagrantish.errors import ProviderError
from vagrantish.events import Cancel, Event, Op
from vagrantish.paths import VxHome
from vagrantish.provider.hostcache import HostCache
from vagrantish.provider.qemu import accel

if TYPE_CHECKING:
    from pathlib import Path

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="KVM is a part of Linux")


class Silent:
    def emit(self, event: Event, /) -> None: ...


OP = Op(Silent(), Cancel())


@pytest.fixture
def home(tmp_path: Path) -> VxHome:
    return VxHome(tmp_path / "home")


@pytest.fixture
def program(tmp_path: Path) -> str:
    """Stands for QEMU: notes each of its runs, and ends as a probe that did its work."""
    path = tmp_path / "qemu"
    path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\nexit 133\n")
    path.chmod(0o755)
    return str(path)


def obstacle(tmp_path: Path, *, device: bytes | None, cpuinfo: str, processor: str) -> str:
    if device is not None:
        (tmp_path / "kvm").write_bytes(device)
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    return accel.obstacle(
        "kvm", device=tmp_path / "kvm", cpuinfo=tmp_path / "cpuinfo", processor=processor
    )


@linux_only
@pytest.mark.parametrize("flag", ["vmx", "svm"])
def test_a_host_with_kvm_and_the_processor_for_it_has_no_obstacle(
    tmp_path: Path, flag: str
) -> None:
    cpuinfo = f"processor : 0\nflags : fpu {flag} sse\n"

    assert obstacle(tmp_path, device=b"", cpuinfo=cpuinfo, processor="x86_64") == ""


@linux_only
@pytest.mark.parametrize(
    ("device", "cpuinfo", "processor", "reason"),
    [
        (None, "flags : vmx", "x86_64", "there is no"),
        (b"", "flags : fpu vmxless", "x86_64", "no vmx or svm"),
        (b"", "flags : vmx", "aarch64", "only be emulated on this processor (aarch64)"),
    ],
)
def test_each_obstacle_is_told_by_name(
    tmp_path: Path, device: bytes | None, cpuinfo: str, processor: str, reason: str
) -> None:
    assert reason in obstacle(tmp_path, device=device, cpuinfo=cpuinfo, processor=processor)


@linux_only
def test_a_device_one_may_not_open_is_told_by_name(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.mkdir()  # refuses to be opened for writing even for root

    reason = accel.obstacle("kvm", device=device, processor="x86_64")

    assert "cannot be opened" in reason


def test_acceleration_of_another_system_is_no_candidate() -> None:
    other = "hvf" if sys.platform == "linux" else "kvm"

    assert "it is a part of" in accel.obstacle(other)


def test_emulation_asked_for_is_not_questioned(home: VxHome, program: str) -> None:
    cache = HostCache(home, program)

    choice = accel.choose(program, "tcg", home=home, cache=cache, op=OP)

    assert choice == accel.Choice(accel="tcg")
    assert not home.root.exists()


def test_acceleration_asked_for_but_not_there_is_an_error_with_the_reason(
    home: VxHome, program: str
) -> None:
    other = "hvf" if sys.platform == "linux" else "kvm"
    cache = HostCache(home, program)

    with pytest.raises(ProviderError, match="cannot be used: it is a part of") as caught:
        accel.choose(program, other, home=home, cache=cache, op=OP)

    assert 'accel = "auto"' in caught.value.hint


def test_a_program_that_cannot_run_the_probe_says_why(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'qemu: -accel kvm: no such thing' >&2\nexit 1\n")
    program.chmod(0o755)

    reason = accel.timed_probe(str(program), "kvm", limit_s=10)

    assert reason == "QEMU cannot run it (-accel kvm: no such thing)"


def test_a_probe_that_ends_in_time_is_a_yes(program: str) -> None:
    assert accel.timed_probe(program, "kvm", limit_s=10) == ""


def test_a_probe_that_takes_too_long_is_a_no(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)

    reason = accel.timed_probe(str(program), "kvm", limit_s=0.2)

    assert "did not finish in 0.2 s" in reason
    assert "slower than software" in reason


def test_the_firmware_starts_at_the_reset_vector_with_a_jump_to_its_loop() -> None:
    image = accel.firmware()

    displacement = int.from_bytes(image[0xFFF1:0xFFF3], "little", signed=True)
    assert len(image) == 0x10000
    assert image[0xFFF0] == 0xE9
    assert (0xFFF3 + displacement) & 0xFFFF == 0xF000
    assert int.from_bytes(image[0xF002:0xF006], "little") == 20_000_000


def test_what_was_found_is_kept_for_the_same_program(home: VxHome, program: str) -> None:
    HostCache(home, program).put("version", "7.2.22")
    HostCache(home, program).put("kvm", {"reason": ""})

    cache = HostCache(home, program)

    assert (cache.get("version"), cache.get("kvm"), cache.get("hvf")) == (
        "7.2.22",
        {"reason": ""},
        None,
    )


def test_another_binary_or_another_boot_forgets(home: VxHome, program: str) -> None:
    HostCache(home, program).put("version", "7.2.22")
    os.utime(program, ns=(0, 0))

    assert HostCache(home, program).get("version") is None

    HostCache(home, program).put("version", "8.0.0")
    file = home.host / "accel.json"
    document = json.loads(file.read_text())
    document["programs"][program]["key"]["boot"] = "before"
    file.write_text(json.dumps(document))

    assert HostCache(home, program).get("version") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "programs": {"x": 1}}', "\0"]
)
def test_a_damaged_memory_counts_as_none(home: VxHome, program: str, content: str) -> None:
    home.host.mkdir(parents=True)
    (home.host / "accel.json").write_text(content)

    assert HostCache(home, program).get("version") is None

    HostCache(home, program).put("version", "7.2.22")

    assert HostCache(home, program).get("version") == "7.2.22"


def runs(program: str) -> int:
    try:
        with open(f"{os.path.dirname(program)}/runs", encoding="ascii") as file:
            return len(file.readlines())
    except FileNotFoundError:
        return 0


def test_a_yes_is_remembered(home: VxHome, program: str) -> None:
    cache = HostCache(home, program)

    verdicts = [accel.measured(program, "kvm", home=home, cache=cache, op=OP) for _ in range(3)]

    assert verdicts == ["", "", ""]
    assert runs(program) == 1


@pytest.mark.parametrize(("age_s", "times"), [(60, 0), (7200, 1), (-7200, 1)])
def test_a_no_is_believed_for_a_while_only(
    home: VxHome, program: str, age_s: float, times: int
) -> None:
    cache = HostCache(home, program)
    cache.put("kvm", {"reason": "too slow", "at": time.time() - age_s})

    verdict = accel.measured(program, "kvm", home=home, cache=cache, op=OP)

    assert (verdict, runs(program)) == ("" if times else "too slow", times)


def test_a_failure_of_the_real_start_is_remembered(home: VxHome, program: str) -> None:
    cache = HostCache(home, program)
    accel.reject(cache, "kvm", "it failed")

    assert accel.measured(program, "kvm", home=home, cache=cache, op=OP) == "it failed"
