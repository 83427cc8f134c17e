"""The files of a NoCloud seed: what cloud-init is told about a machine. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from vagrantish.seed.cloudinit_parts import CONFIG, Part, merged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.seed.overlay import SeedData

_ANY_CARD = "e*"  # eth0, enp0s2, ens3: there is one card
DONE_MARK = "vx: cloud-init has finished"  # what the console says at the end of a first boot


@dataclass(frozen=True, kw_only=True)
class CloudInitSeed:
    """What only cloud-init needs to be told."""

    mac: str  # "" where it is not known yet
    grow: bool  # whether the disk is bigger than the box's, so that the root is to follow
    user_data: bytes = b""  # the user's own, of a kind that formats.userdata knows
    by_mac: bool = False  # whether the guest's DHCP client must call itself by its MAC
    # 2, or 1 for cloud-init before 21.1 where netplan is not used (Enterprise Linux 7, Debian 11
    # and older): there version 2 wants an interface really called as the entry is (LP #1855945).
    network_version: int = 2


def instance_id(machine_uuid: str, user_data: bytes, *, first_boot_only: bool) -> str:
    """cloud-init sets a guest up anew when it changes, so it is the machine's for life.

    Unless the user wants every change of the user data carried out.
    """
    if first_boot_only or not user_data:
        return machine_uuid
    return f"{machine_uuid}-{sha256(user_data).hexdigest()[:12]}"


def files(seed: SeedData, options: CloudInitSeed) -> Mapping[str, bytes]:
    """Name → content; all of it is JSON, which every YAML reader takes."""
    metadata = {"instance-id": seed.instance_id, "local-hostname": seed.hostname}
    network = {1: _network_1, 2: _network_2}[options.network_version]
    return {
        "meta-data": _text(metadata),
        "network-config": _text(network(options)),
        "user-data": _user_data(seed, options),
    }


def cmdline_words() -> tuple[str, ...]:
    """Words for the kernel's command line, which spare cloud-init its search among clouds.

    The instance is left out of them: with it there, later boots would go by what the guest keeps
    and never look into the seed (DataSourceNoCloud.check_instance_id), so that a disk made bigger
    or another host name had no effect. Without dsmode cloud-init would read the user data before
    there is a network, and so fail at ``#include``.
    """
    return ("ds=nocloud;dsmode=net",)


def _user_data(seed: SeedData, options: CloudInitSeed) -> bytes:
    defaults, musts = _defaults(seed, grow=options.grow), _musts(seed)
    if not options.user_data:
        return CONFIG + _text({**defaults, **musts})
    return merged(
        options.user_data,
        Part(_text(defaults), "dict(no_replace)+list()+str()"),
        Part(_text(musts), "dict(replace)+list()+str()"),
    )


def _musts(seed: SeedData) -> dict[str, Any]:
    """What vx cannot do without: it stands whatever the user's own data say.

    The user is given as ``user``, not in ``users``: so it takes the place of the distribution's
    own user, with that one's groups and shell, and leaves ``users`` to the user.
    """
    root = seed.user == "root"
    user: dict[str, Any] = {
        "name": seed.user,
        "lock_passwd": True,
        "ssh_authorized_keys": [key.strip() for key in seed.authorized_keys],
    }
    if not root:
        user["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    return {
        "user": user,
        **({"disable_root": False} if root else {}),
        "ssh_deletekeys": True,
        "ssh_genkeytypes": ["ed25519"],
        "ssh_keys": {
            "ed25519_private": seed.host_key.decode("ascii").strip() + "\n",
            "ed25519_public": seed.host_key_public.strip() + "\n",
        },
    }


def _defaults(seed: SeedData, *, grow: bool) -> dict[str, Any]:
    """What the user's own data may have otherwise."""
    still = {} if grow else {"growpart": {"mode": "off"}, "resize_rootfs": False}
    fqdn = {"prefer_fqdn_over_hostname": True} if "." in seed.hostname else {}
    return {
        "preserve_hostname": False,
        "manage_etc_hosts": "localhost",
        **fqdn,
        "ssh_pwauth": False,
        **({} if seed.user == "root" else {"disable_root": True}),
        # Nobody compares fingerprints on the console here: the host key is pinned.
        "no_ssh_fingerprints": True,
        "ssh": {"emit_keys_to_console": False},
        "package_update": False,
        "package_upgrade": False,
        **still,
        "final_message": DONE_MARK,
    }


def _network_2(options: CloudInitSeed) -> dict[str, Any]:
    """No ``set-name``: renaming an interface may fail, and boots then wait for it (LP #2136392)."""
    mac = options.mac.lower()
    card: dict[str, Any] = {
        "match": {"macaddress": mac} if mac else {"name": _ANY_CARD},
        "dhcp4": True,
    }
    if options.by_mac:
        # systemd-networkd sends a DUID otherwise, and leases of macOS 15 then hide the MAC.
        card["dhcp-identifier"] = "mac"
    return {"version": 2, "ethernets": {"vx0": card}}


def _network_1(options: CloudInitSeed) -> dict[str, Any]:
    mac = options.mac.lower()
    interface = {
        "type": "physical",
        "name": "eth0",
        **({"mac_address": mac} if mac else {}),
        "subnets": [{"type": "dhcp4"}],
    }
    return {"version": 1, "config": [interface]}


def _text(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
