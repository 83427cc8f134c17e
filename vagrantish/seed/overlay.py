"""What a machine adds to its box's initrd: name, keys, and the script that puts them to use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from vagrantish.formats import cpio
from vagrantish.resources import templates_dir

FOLDER = "etc/vx/seed"


@dataclass(frozen=True, kw_only=True)
class SeedData:
    hostname: str
    user: str
    authorized_keys: tuple[str, ...]  # public keys, one line each
    host_key: bytes  # OpenSSH's private key format
    host_key_public: str
    dropbear_host_key: bytes  # the same key in dropbear's format
    instance_id: str
    root_disk: str = ""  # what the guest calls it, where its serial number does not tell


def entries(seed: SeedData) -> tuple[cpio.Entry, ...]:
    """The overlay's members below /etc/vx/seed, readable for root alone."""
    return (*data(seed), script("first-boot.sh"))


def data(seed: SeedData) -> tuple[cpio.Entry, ...]:
    """The folder and what scripts of any kind of guest read there."""
    lines = {
        "hostname": seed.hostname,
        "user": seed.user,
        "instance_id": seed.instance_id,
        "ssh_host_ed25519_key.pub": seed.host_key_public,
        "authorized_keys": "\n".join(seed.authorized_keys),
    }
    if seed.root_disk:
        lines["root_disk"] = seed.root_disk
    secrets = {
        "ssh_host_ed25519_key": seed.host_key,
        "dropbear_ed25519_host_key": seed.dropbear_host_key,
    }
    return (
        cpio.directory(FOLDER, mode=0o700),
        *(_file(name, f"{text.strip()}\n".encode()) for name, text in lines.items()),
        *(_file(name, content) for name, content in secrets.items()),
    )


def script(name: str) -> cpio.Entry:
    """One of our own templates, as a program of the guest."""
    return cpio.file(f"{FOLDER}/{name}", template(name), mode=0o700)


@cache
def template(name: str) -> bytes:
    return (templates_dir() / "seed" / name).read_bytes()


def _file(name: str, data: bytes) -> cpio.Entry:
    return cpio.file(f"{FOLDER}/{name}", data, mode=0o600)
