"""What a file is, told from its first bytes, in words for people."""

from __future__ import annotations

HEAD_BYTES = 4096  # as much of a file as `describe` wants to see

_AT_START = (
    (b"\x7fELF", "an ELF file (an unpacked vmlinux?)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x02\x21\x4c\x18", "an lz4 file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"PK\x03\x04", "a zip file"),
    (b"QFI\xfb", "a qcow2 disk image"),
    (b"KDMV", "a vmdk disk image"),
    (b"# Disk DescriptorFile", "a vmdk disk image"),
    (b"vhdxfile", "a vhdx disk image"),
    (b"070701", "a cpio archive"),
    (b"070702", "a cpio archive"),
    (b"!<arch>\n", "an ar archive (a Debian package?)"),
    (b"hsqs", "a squashfs file system"),
    (b"#!", "a script"),
)


_INSIDE = (
    (0x40, b"\x7f\x10\xda\xbe", "a vdi disk image"),
    (0x202, b"HdrS", "an x86 Linux kernel"),
    (0x38, b"ARM\x64", "an arm64 Linux kernel"),
    (4, b"zimg", "a compressed EFI kernel (zboot)"),
    (0, b"MZ", "an EFI program"),
    (257, b"ustar", "a tar archive"),
)


def describe(head: bytes) -> str:
    """``head`` is the start of the file, up to HEAD_BYTES of it."""
    if not head:
        return "an empty file"
    for magic, text in _AT_START:
        if head.startswith(magic):
            return text
    for offset, magic, text in _INSIDE:
        if head.startswith(magic, offset):
            return text
    return _describe_content(head)


def _describe_content(head: bytes) -> str:
    if head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a failed download?)"
    if head.count(0) == len(head):
        return "nothing but zero bytes"
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head[:512]):
        return "a text file"
    return "of no kind vx knows"
