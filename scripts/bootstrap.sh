#!/bin/sh
# Make this checkout ready for `make demo|test|check|bench`: usage scripts/bootstrap.sh TARGET
#
# Leaves .venv/ with vx (editable) and its tools, and the programs TARGET runs installed by apt.
# Quick when there is nothing to do. VX_APT=no keeps it from installing packages.
set -eu
cd "$(dirname "$0")/.."
target=$1

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'make %s: %s\n' "$target" "$*" >&2
    exit 1
}

# --- system packages -------------------------------------------------------------------------

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -f "$1" ]; }

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [0-9]'; }

# Print the first Python that is new enough. pyenv's shims exist and fail, so each is run.
find_python() {
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

# Fill $missing with what TARGET needs and this system has not: package names of Debian and Ubuntu.
find_missing() {
    missing=""
    if python=$(find_python); then
        # Debian packs ensurepip apart, and venv does not work without it.
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            missing=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    else
        python=""
        for minor in 14 13 12 11; do
            if candidate "python3.$minor-venv"; then
                missing="python3.$minor-venv"
                break
            fi
        done
        missing=${missing:-python3-venv}
    fi
    if [ "$target" = demo ] || [ "$target" = test ] || [ "$target" = bench ]; then
        has qemu-system-x86_64 || missing="$missing qemu-system-x86"
        has ssh || missing="$missing openssh-client"
    fi
    if [ "$target" = test ]; then
        has sshd || missing="$missing openssh-server"
    fi
    missing=${missing# }
}

# Programs that disk images are made with; without one, what needs an image is left out.
makers="genisoimage:genisoimage gpg:gpg gpg-agent:gpg-agent mcopy:mtools mke2fs:e2fsprogs
mkfs.vfat:dosfstools mkfs.xfs:xfsprogs mksquashfs:squashfs-tools mmdebstrap:mmdebstrap
qemu-img:qemu-utils sfdisk:fdisk sgdisk:gdisk xorriso:xorriso"
# The same for users who are not root.
makers_as_user="fakeroot:fakeroot newuidmap:uidmap"
# Programs that single tests compare vx's own work with; without one, its tests are skipped.
oracles="busybox:busybox-static bzip2:bzip2 cpio:cpio depmod:kmod dropbear:dropbear-bin fish:fish
gpgv:gpgv grub-fstest:grub-common lz4:lz4 mkfs.btrfs:btrfs-progs readelf:binutils rsync:rsync
shellcheck:shellcheck sudo:sudo xz:xz-utils zsh:zsh zstd:zstd"

# What a guest that boots by UEFI is made of and run with.
uefi="grub-mkimage:grub-common /usr/lib/grub/x86_64-efi/linux.mod:grub-efi-amd64-bin
/usr/share/OVMF/OVMF_CODE_4M.fd:ovmf"

# Fill $wanted with what is good to have for TARGET and is not here.
find_wanted() {
    programs=$makers
    [ "$(id -u)" -eq 0 ] || programs="$programs $makers_as_user"
    [ "$target" != test ] || programs="$programs $oracles $uefi"
    wanted=""
    for pair in $programs; do
        has "${pair%:*}" || ! candidate "${pair#*:}" || wanted="$wanted ${pair#*:}"
    done
    wanted=${wanted# }
}

# Run a command as root, asking for a password only where there is somebody to type it.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        sudo "$@"
    fi
}

may_be_root() {
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null || { [ -t 0 ] && has sudo; }
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }

may_install() { [ "${VX_APT:-}" != no ] && may_be_root; }

refuse() {
    why="only root may install them"
    [ "${VX_APT:-}" != no ] || why="VX_APT=no forbids installing them"
    die "packages are needed first, and $why:
    sudo apt-get update${missing:+
    sudo apt-get install --no-install-recommends $missing}"
}

install_missing() {
    may_install || refuse
    say "Installing with apt: $missing"
    case " $missing " in
    *" openssh-server "*)
        # Only its program is wanted: a test must not open this computer to the network.
        if [ -d /run/systemd/system ]; then
            say "(ssh.service stays off: to use it one day, sudo systemctl unmask ssh.service ssh.socket)"
            as_root systemctl --quiet mask ssh.service ssh.socket
        fi
        ;;
    esac
    log=$(mktemp)
    # Once more with fresh lists: old ones name versions that are no longer there.
    apt_install >"$log" 2>&1 || { apt_get update && apt_install; } >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt could not install: $missing"
    }
    rm -f "$log"
}

# Unquoted: a list of packages.
# shellcheck disable=SC2086
apt_install() { apt_get install --yes --no-install-recommends $missing; }

find_missing
if has apt-get; then
    # A fresh container has no package lists, and the micro box is built from packages too.
    if { [ -n "$missing" ] || [ "$target" != check ]; } && ! candidate busybox-static; then
        may_install || refuse
        say "Reading apt's package lists"
        apt_get update >&2 || die "apt-get update failed"
        find_missing
    fi
    [ -z "$missing" ] || install_missing
    find_missing
    [ -z "$missing" ] || die "still missing after apt: $missing"
    if [ "$target" = test ] || [ "$target" = bench ]; then
        find_wanted
        if [ -n "$wanted" ] && may_install; then
            missing=$wanted
            install_missing
        elif [ -n "$wanted" ]; then
            say "A part of it will be left out; for all: sudo apt-get install --no-install-recommends $wanted"
        fi
    fi
elif [ "$target" != check ]; then
    die "builds its guest from Debian's packages, so it runs on Debian and Ubuntu only (apt-get was
not found). What vx itself needs elsewhere: Python 3.11 or newer, QEMU (qemu-system-x86_64) and an
OpenSSH client; for instance \`brew install python qemu\` on macOS."
elif [ -z "$python" ]; then
    die "needs Python 3.11 or newer: install it, or name it with PYTHON=/path/to/python3"
fi

# --- .venv -----------------------------------------------------------------------------------

if [ "$target" = demo ]; then
    ready=.venv/.ready-demo
else
    ready=.venv/.ready-dev
fi
stamp="$(cksum pyproject.toml) $(pwd -P)"

is_ready() { [ -f "$1" ] && [ "$(cat "$1")" = "$stamp" ]; }

if is_ready .venv/.ready-dev || is_ready "$ready"; then
    if .venv/bin/python -I -c 'import vagrantish' 2>/dev/null; then
        exit 0
    fi
fi

say "Setting up .venv with $("$python" --version); a minute or two, once"
# A moved checkout or a replaced Python leaves programs in .venv that start nothing.
if ! { grep -qF -- "-m venv $(pwd -P)/.venv" .venv/pyvenv.cfg && .venv/bin/python -m pip --version; } >/dev/null 2>&1; then
    rm -rf .venv
    "$python" -m venv .venv
fi
rm -f .venv/.ready-*
pip() { PIP_USER=no .venv/bin/python -m pip --quiet --quiet --disable-pip-version-check "$@"; }
if [ "$target" = demo ]; then
    pip install --editable .
else
    pip install --upgrade 'pip>=25.1' # the first to know --group
    pip install --editable . --group dev
fi
printf '%s\n' "$stamp" >"$ready"
