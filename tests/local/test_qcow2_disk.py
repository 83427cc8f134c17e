"""qcow2 images that qemu-img made, read and converted to what qemu-img says they are."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.bytesdevice import BytesDevice, chunks_of
from tests.fakes.qcow2image import Shape, build
from vagrantish.events import Cancelled
from vagrantish.formats.device import Device, FileDevice, ImageError
from vagrantish.formats.disk import open_disk
from vagrantish.formats.qcow2 import Qcow2Error
from vagrantish.formats.qcow2.convert import convert_to_raw
from vagrantish.formats.qcow2.device import Qcow2Device

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
pytestmark = pytest.mark.skipif(
    shutil.which("qemu-img") is None or shutil.which("qemu-io") is None,
    reason="needs qemu-img and qemu-io",
)

# Name → how qemu-img makes it of the plain disk, and what is done to it then.
MADE: dict[str, tuple[str, ...]] = {
    "plain": (),
    "version 2": ("-o", "compat=0.10"),
    "version 2, zlib": ("-c", "-o", "compat=0.10"),
    "zlib": ("-c",),
    "zlib, clusters of 2 MiB": ("-c", "-o", "cluster_size=2M"),
    "zlib, clusters of 512": ("-c", "-o", "cluster_size=512"),
    "zstd": ("-c", "-o", "compression_type=zstd"),
    "zstd, clusters of 2 MiB": ("-c", "-o", "compression_type=zstd,cluster_size=2M"),
    "parts": ("-o", "extended_l2=on,cluster_size=128k"),
    "parts, zstd": ("-c", "-o", "extended_l2=on,cluster_size=128k,compression_type=zstd"),
    "room reserved": ("-o", "preallocation=metadata"),
}
SCRIPTS: dict[str, tuple[str, ...]] = {
    "snapshot": (
        "qemu-img snapshot -c before {0}",
        "qemu-io -f qcow2 -c 'write -P 0x5a 1M 200k' -c 'write -z 5M 100k' {0}",
    ),
    "zeros and parts": ("qemu-io -f qcow2 -c 'write -z 64k 300k' -c 'discard 9M 1M' {0}",),
    "enlarged": ("qemu-img resize -q {0} +64M",),
}
BASES = {"snapshot": "zlib", "zeros and parts": "parts", "enlarged": "zstd"}


@dataclass(frozen=True)
class Image:
    path: Path
    raw: Path  # as qemu-img converts it


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 20 MiB and one sector: noise, text, zeros, lone blocks and lone bytes."""
    chance = random.Random(7)
    path = tmp_path_factory.mktemp("plain") / "disk"
    text = b"".join(b"%d bottles, " % chance.randrange(1000) for _ in range(300_000))
    with path.open("wb") as file:
        file.write(chance.randbytes(2 * MIB) + text[: 3 * MIB])
        for block in range(300):
            file.seek(7 * MIB + block * 12288 + (block % 3) * 5)
            file.write(b"x" * chance.randrange(1, 4096))
        file.seek(12 * MIB)
        file.write(bytes(MIB) + text[:MIB] + bytes(MIB) + b"!")
        file.truncate(20 * MIB + 512)
    return path


@pytest.fixture(scope="module")
def images(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    folder = tmp_path_factory.mktemp("images")
    made: dict[str, Image] = {}
    for name in (*MADE, *SCRIPTS):
        path = folder / name.replace(" ", "-")
        options = MADE[BASES.get(name, name)]
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, plain, path)
        for line in SCRIPTS.get(name, ()):
            subprocess.run(line.format(path), shell=True, check=True, stdout=subprocess.DEVNULL)
        raw = path.with_name(f"{path.name}.raw")
        run("qemu-img", "convert", "-O", "raw", path, raw)
        made[name] = Image(path, raw)
    return made


@pytest.mark.parametrize("name", [*MADE, *SCRIPTS])
def test_an_image_reads_as_what_qemu_img_makes_of_it(name: str, images: dict[str, Image]) -> None:
    expected = images[name].raw.read_bytes()

    with open_disk(images[name].path) as disk:
        assert disk.size == len(expected)
        assert b"".join(chunks_of(disk, 300_000)) == expected
        chance = random.Random(name)
        for _ in range(100):
            start = chance.randrange(len(expected))
            end = min(len(expected), start + chance.randrange(200_000))
            assert disk.read_at(start, end - start) == expected[start:end]


@pytest.mark.parametrize("name", [*MADE, *SCRIPTS])
def test_a_converted_image_is_what_qemu_img_makes_of_it_and_no_bigger(
    name: str, images: dict[str, Image], tmp_path: Path
) -> None:
    target = tmp_path / "raw"

    convert_to_raw(images[name].path, target)

    assert target.read_bytes() == images[name].raw.read_bytes()
    run("sync", images[name].raw)  # before that not all its blocks are counted
    assert target.stat().st_blocks <= images[name].raw.stat().st_blocks
    assert list(tmp_path.iterdir()) == [target]


def test_a_raw_disk_is_read_as_it_is(plain: Path) -> None:
    with open_disk(plain) as disk:
        assert b"".join(chunks_of(disk)) == plain.read_bytes()


def test_an_overlay_shows_what_it_is_over_and_its_zeros_hide_it(
    images: dict[str, Image], tmp_path: Path
) -> None:
    base, overlay, raw = images["zlib"].path, tmp_path / "overlay", tmp_path / "raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay, "24M")
    script = ("write -z 64k 128k", "write -P 7 1M 70k", "write -P 8 22M 3k", "write -z 3M 5k")
    run("qemu-io", "-f", "qcow2", *(word for line in script for word in ("-c", line)), overlay)
    run("qemu-img", "convert", "-O", "raw", overlay, raw)

    with open_disk(base) as under, open_disk(overlay, backing=under) as disk:
        assert b"".join(chunks_of(disk)) == raw.read_bytes()
    with pytest.raises(Qcow2Error, match="backing file"), open_disk(overlay):
        pass
    with pytest.raises(Qcow2Error, match="backing file"):
        convert_to_raw(overlay, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_an_image_whose_data_is_in_another_file_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = f"data_file={tmp_path / 'data'}"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, image, "1M")

    with pytest.raises(Qcow2Error, match="another file"), open_disk(image):
        pass


def test_an_encrypted_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run(
        "qemu-img", "create", "-q", "--object", "secret,id=key,data=12345678", "-f", "qcow2",
        "-o", "encrypt.format=aes,encrypt.key-secret=key", image, "1M",
    )  # fmt: skip

    with pytest.raises(Qcow2Error, match="encrypted"), open_disk(image):
        pass


def test_an_image_marked_as_corrupt_is_refused(images: dict[str, Image], tmp_path: Path) -> None:
    image = tmp_path / "image"
    data = bytearray(images["plain"].path.read_bytes())
    struct.pack_into(">Q", data, 72, 2)
    image.write_bytes(data)

    with pytest.raises(Qcow2Error, match="corrupt"), open_disk(image):
        pass


class Counting:
    """A device that knows how much was read of it."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.read_bytes = 0

    @property
    def size(self) -> int:
        return self._device.size

    def read_at(self, offset: int, length: int) -> bytes:
        self.read_bytes += length
        return self._device.read_at(offset, length)


@pytest.mark.parametrize("options", [(), ("-c",), ("-c", "-o", "cluster_size=2M")])
def test_taking_a_file_out_of_a_big_disk_reads_little_more_than_the_file(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    wanted = random.Random(1).randbytes(24 * MIB)
    begin = (6 << 30) + 12345
    with raw.open("wb") as file:
        for place in range(0, 10 << 30, 1 << 30):
            file.seek(place)
            file.write(wanted[:MIB])
        file.seek(begin)
        file.write(wanted)
        file.truncate(10 << 30)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image)

    with FileDevice(image) as file:
        counting = Counting(file)
        disk = Qcow2Device(counting)
        pieces = [disk.read_at(begin + at, MIB) for at in range(0, len(wanted), MIB)]

    assert b"".join(pieces) == wanted
    assert counting.read_bytes < 1.2 * len(wanted) + 2 * MIB


def test_progress_goes_up_to_the_whole_disk(images: dict[str, Image], tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    convert_to_raw(
        images["plain"].path,
        tmp_path / "raw",
        progress=lambda done, total: heard.append((done, total)),
    )

    assert heard == sorted(heard)
    assert heard[-1] == (20 * MIB + 512, 20 * MIB + 512)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_conversion_that_is_stopped_leaves_nothing(
    after: int, images: dict[str, Image], tmp_path: Path
) -> None:
    calls = 0

    def alive() -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Cancelled

    with pytest.raises(Cancelled):
        convert_to_raw(images["zlib"].path, tmp_path / "raw", alive=alive)

    assert list(tmp_path.iterdir()) == []


def test_a_damaged_image_leaves_nothing(images: dict[str, Image], tmp_path: Path) -> None:
    data = bytearray(images["zlib"].path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    image, folder = tmp_path / "image", tmp_path / "folder"
    image.write_bytes(data)
    folder.mkdir()

    with pytest.raises(Qcow2Error, match="damaged"):
        convert_to_raw(image, folder / "raw")

    assert list(folder.iterdir()) == []


def test_clusters_used_again_and_again_are_refused(tmp_path: Path) -> None:
    data = bytearray(build(Shape(clusters=("data",) * 64))[0])
    for index in range(64):
        struct.pack_into(">Q", data, 1024 + index * 8, 1536)
    image = tmp_path / "image"
    image.write_bytes(data[:2560])

    with pytest.raises(Qcow2Error, match="clusters overlap"):
        convert_to_raw(image, tmp_path / "raw")


def in_child(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_disk_that_runs_full_leaves_nothing(images: dict[str, Image], tmp_path: Path) -> None:
    done = in_child(
        """
        import resource, sys
        from pathlib import Path
        from vagrantish.formats.qcow2.convert import convert_to_raw
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))
        try:
            convert_to_raw(Path(sys.argv[1]), Path(sys.argv[2]))
        except OSError as error:
            print(error.strerror)
        """,
        images["zlib"].path,
        tmp_path / "raw",
    )

    assert done.stdout == "File too large\n", done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("options", ["cluster_size=64k", "cluster_size=2M"])
def test_a_big_image_takes_little_memory(options: str, tmp_path: Path) -> None:
    raw, image = tmp_path / "raw", tmp_path / "image"
    with raw.open("wb") as file:
        for number in range(160):
            file.write(number.to_bytes(4, "big") * (MIB // 4))
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, image)

    done = in_child(
        """
        import re, sys
        from pathlib import Path
        from vagrantish.formats.qcow2.convert import convert_to_raw
        convert_to_raw(Path(sys.argv[1]), Path(sys.argv[2]))
        print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
        """,
        image,
        tmp_path / "target",
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) << 10 < 150 * MIB
    run("cmp", tmp_path / "target", raw)


def test_qemu_img_reads_the_images_we_make_for_tests_as_we_do(tmp_path: Path) -> None:
    image, raw = tmp_path / "image", tmp_path / "raw"
    kinds = ("data", "hole", "zero", "compressed", "parts", "compressed")
    data, disk = build(Shape(clusters=kinds, cluster_bits=14, parts=True, zstd=True))
    image.write_bytes(data)
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw)

    assert raw.read_bytes() == disk
    assert Qcow2Device(BytesDevice(data)).read_at(0, len(disk)) == disk


def test_a_file_too_short_for_anything_is_a_raw_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"QF")

    with open_disk(tmp_path / "disk") as disk, pytest.raises(ImageError):
        disk.read_at(0, 3)
