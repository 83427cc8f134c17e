"""Turns a qcow2 image into a raw disk, on all cores."""

from __future__ import annotations

import os
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from vagrantish.files import sync_dir
from vagrantish.formats.device import FileDevice
from vagrantish.formats.qcow2.device import Qcow2Device
from vagrantish.formats.qcow2.header import Qcow2Error
from vagrantish.formats.qcow2.tables import Kind
from vagrantish.formats.sparse import SparseFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from vagrantish.formats.qcow2.tables import Extent

_BATCH_BYTES = 4 << 20
_WRITE_BYTES = 64 << 10  # joining more costs more than the calls it saves
_SECTOR = 512
# Each thread holds two or three batches; more than four gain little and would want too much.
_THREADS_MAX = 4


def convert_to_raw(
    source: Path,
    target: Path,
    *,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Write the disk in ``source`` to ``target``, which appears whole or not at all.

    ``progress`` hears of bytes of the disk, done and in all; ``alive`` may raise to stop. Takes
    less than 100 MB of memory. Raises Qcow2Error, OSError.
    """
    staged = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    with FileDevice(source) as file:
        device = Qcow2Device(file)
        try:
            with SparseFile(staged) as output:
                # Closed before the file is: a thread must not write to what takes its place.
                with closing(_written(device, file.size, output, alive)) as steps:
                    for done in steps:
                        progress(done, device.size)
                output.finish(device.size)
            os.replace(staged, target)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    sync_dir(target.parent)


def _written(
    device: Qcow2Device, file_bytes: int, output: SparseFile, alive: Callable[[], None]
) -> Generator[int]:
    """Copies all there is; answers now and then up to where everything is done."""
    threads = min(_THREADS_MAX, os.cpu_count() or 1)

    def write(batch: list[Extent]) -> None:
        for start, data in _gathered(batch, device.load(batch)):
            output.write_at(start, data)
        output.write_out(batch[0].start, _end(batch[-1]))

    pool = ThreadPoolExecutor(threads, thread_name_prefix="qcow2")
    waiting: deque[tuple[int, Future[None]]] = deque()
    try:
        for batch in _batches(device, file_bytes, alive):
            alive()
            waiting.append((_end(batch[-1]), pool.submit(write, batch)))
            while len(waiting) > 2 * threads or (waiting and waiting[0][1].done()):
                yield _finished(waiting)
        while waiting:
            alive()
            yield _finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)
    yield device.size


def _finished(waiting: deque[tuple[int, Future[None]]]) -> int:
    end, future = waiting.popleft()
    future.result()
    return end


def _batches(
    device: Qcow2Device, file_bytes: int, alive: Callable[[], None]
) -> Iterator[list[Extent]]:
    """What is stored in the image, in pieces of some MiB. Raises Qcow2Error if it cannot be."""
    batch: list[Extent] = []
    size = stored = 0
    for extent in _stored(device, alive):
        # A sector may be shared by compressed clusters; nothing else is.
        stored += max(1, extent.stored - _SECTOR) if extent.stored else extent.length
        if stored > file_bytes + device.header.cluster_bytes:
            raise Qcow2Error("its clusters overlap", offset=extent.where)
        if batch and size + extent.length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(extent)
        size += extent.length
    if batch:
        yield batch


def _stored(device: Qcow2Device, alive: Callable[[], None]) -> Iterator[Extent]:
    """The extents that may be other than zeros, cut to the size of a batch."""
    stride = device.header.cluster_bytes << 14  # so that even an empty disk can be given up on
    for start in range(0, device.size, stride):
        alive()
        for extent in device.extents(start, min(start + stride, device.size)):
            if extent.kind is Kind.COMPRESSED:
                yield extent
            elif extent.kind is Kind.DATA:
                yield from _cut(extent)


def _cut(extent: Extent) -> Iterator[Extent]:
    for done in range(0, extent.length, _BATCH_BYTES):
        yield extent._replace(
            start=extent.start + done,
            length=min(_BATCH_BYTES, extent.length - done),
            where=extent.where + done,
        )


def _gathered(extents: list[Extent], pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """What to write where: small pieces that follow each other on the disk go together."""
    parts: list[bytes] = []
    start = end = 0
    for extent, piece in zip(extents, pieces, strict=True):
        if parts and (extent.start != end or end - start + len(piece) > _WRITE_BYTES):
            yield start, b"".join(parts)
            parts = []
        if not parts:
            start = extent.start
        parts.append(piece)
        end = extent.start + len(piece)
    if parts:
        yield start, b"".join(parts)


def _end(extent: Extent) -> int:
    return extent.start + extent.length
