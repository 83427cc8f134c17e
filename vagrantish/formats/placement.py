"""The shell program that puts a file or a tree in its place in a guest, whole or not at all."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from vagrantish.formats.guesttext import printable

# The exit status with which the program says "vx: WHY" itself; 65 is EX_DATAERR of sysexits.h.
REFUSED = 65


class Into(StrEnum):
    """When a destination that is a folder takes the copy inside it, under the copy's own name."""

    FOLDER = "folder"  # when it is one, as cp does
    SLASH = "slash"  # when it ends with a slash; a file also when it is one


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What to put where. ``check`` is a file's size, or the name of the last member of a tar."""

    kind: str  # "file" or "tree"
    destination: str  # absolute, below the home, or starting with ~/
    name: str  # used inside a folder
    check: str
    mode: int  # of the file, or of the tree's root where that is new
    owner: str = ""  # "user", "user:group"; empty: whoever logs in
    into: Into = Into.FOLDER
    parents: bool = False  # make missing folders
    elevate: bool = False  # use sudo where the ssh user may not write or give away


# Runs as the ssh user: makes the path absolute, then decides who does the rest.
_PRELUDE = r"""
kind=$1 dest=$2 name=$3 check=$4 mode=$5 owner=$6 into=$7 parents=$8 elevate=$9
say() { echo "vx: $1" >&2; exit 65; }
case $dest in
  '~') dest=$HOME/ ;;
  '~/'*) dest=$HOME/${dest#??} ;;
  '~'*) say "$dest: only the home of the ssh user can be written as ~" ;;
  /*) ;;
  *) dest=$(pwd)/$dest ;;
esac
uid=$(id -u) && gid=$(id -g) && user=$(id -un) || say 'the guest has no working id program'
root=no
case $owner in
  '') ;;
  "$user" | "$user:$(id -gn)") ;;
  *) root=yes ;;
esac
near=$dest
while [ -n "$near" ] && [ ! -e "$near" ]; do near=${near%/*}; done
[ -n "$near" ] || near=/
theirs=
if [ -d "$near" ]; then
  [ -w "$near" ] || root=yes
  [ ! -O "$near" ] || theirs=$uid:$gid
else
  [ -w "${near%/*}/" ] || root=yes
fi
if [ "$root" = no ] || [ "$elevate" = no ] || [ "$uid" = 0 ]; then
  if [ "$uid" != 0 ] && [ "$root" = no ]; then owner=; fi
  if [ "$elevate" = no ]; then owner=; fi
  exec /bin/sh -c "${10}" sh "$kind" "$dest" "$name" "$check" "$mode" "$owner" "$into" "$parents" ''
fi
command -v sudo >/dev/null || say "$dest needs root, and the guest has no sudo"
exec sudo -n /bin/sh -c "${10}" sh "$kind" "$dest" "$name" "$check" "$mode" "${owner:-$uid:$gid}" \
  "$into" "$parents" "$theirs"
"""

_MAIN = r"""
kind=$1 dest=$2 name=$3 check=$4 mode=$5 owner=$6 into=$7 parents=$8 theirs=$9
say() { echo "vx: $1" >&2; exit 65; }
staged=
trap '[ -z "$staged" ] || rm -rf "$staged"' EXIT
trap 'exit 129' HUP INT TERM
trap '' PIPE # when the connection is gone nobody hears why, and the rest is to be tidied all the same
case $dest in
  */) dest=${dest%"${dest##*[!/]}"}/$name ;;
  *)
    if [ -d "$dest" ]; then
      if [ "$kind" = file ] || [ "$into" = folder ]; then dest=$dest/$name; fi
    fi
    ;;
esac
parent=${dest%/*}/
if [ ! -d "$parent" ]; then
  [ "$parents" = yes ] || say "there is no folder ${parent%/}"
  top=${parent%/}
  while [ ! -d "${top%/*}/" ]; do top=${top%/*}; done
  (umask 022 && mkdir -p "$parent") || say "the folder ${parent%/} cannot be made"
  [ -z "$theirs" ] || chown -R "$theirs" "$top"
fi
case $owner in
  '' | *:*) ;;
  *)
    group=$(id -gn "$owner") || say "the guest has no user $owner"
    owner=$owner:$group
    ;;
esac
own() { [ -z "$owner" ] || chown -Rh "$owner" "$1" || say "$owner cannot own $dest"; }
umask 077
if [ "$kind" = file ]; then
  [ ! -d "$dest" ] || say "$dest is a folder"
  staged=$(mktemp "$parent.vx-XXXXXXXX") || say "nothing can be written in ${parent%/}"
  cat >"$staged" || say "$dest could not be written"
  [ "$(wc -c <"$staged")" -eq "$check" ] || say "not all of $dest arrived"
  own "$staged"
  chmod "$mode" "$staged" || exit
  mv -f "$staged" "$dest" || say "$dest cannot be replaced"
  staged=
  exit 0
fi
command -v tar >/dev/null || say 'the guest has no tar program, which copying a folder needs'
place=$parent
if [ -d "$dest" ]; then place=$dest/; elif [ -e "$dest" ]; then say "$dest is not a folder"; fi
staged=$(mktemp -d "$place.vx-XXXXXXXX") || say "nothing can be written in ${place%/}"
# busybox heeds the umask in spite of -p; no more is open here than is to be in the end.
umask 0
tar -xpf - -C "$staged" || say "$dest could not be unpacked"
[ -e "$staged/$check" ] || say "not all of $dest arrived"
rm -f "$staged/$check"
own "$staged"
if [ ! -d "$dest" ]; then
  chmod "$mode" "$staged" || exit
  mv "$staged" "$dest" || say "$dest cannot be made"
  staged=
  exit 0
fi
cd "$staged" || exit
set --
for glob in './*' './.[!.]*' './..?*'; do
  for first in $glob; do
    if [ -e "$first" ] || [ -L "$first" ]; then set -- "$@" $glob; fi
    break
  done
done
[ $# -gt 0 ] || exit 0
# A folder that is there already keeps its mode and owner: copying into /etc must not change /etc.
find . -type d | while IFS= read -r folder; do
  [ -d "$dest/$folder" ] && had=$(stat -c '%a %u:%g' "$dest/$folder" 2>/dev/null) || continue
  chmod "${had% *}" "$folder"
  chown "${had#* }" "$folder" 2>/dev/null
done
{ tar -cf - "$@" || : >"$staged/.vx-bad"; } | (cd "$dest" && tar -xpf -) ||
  say "$dest could not be filled"
[ ! -e "$staged/.vx-bad" ] || say "$dest could not be filled"
"""


def place_command(placement: Placement) -> str:
    """The command; the file's bytes, or the tar, go to its standard input.

    Exit status REFUSED comes with a last line ``vx: WHY`` on standard error.
    """
    words = (
        placement.kind,
        placement.destination,
        placement.name,
        placement.check,
        f"{placement.mode:o}",
        placement.owner,
        placement.into.value,
        "yes" if placement.parents else "no",
        "yes" if placement.elevate else "no",
        _MAIN,
    )
    return shlex.join(("/bin/sh", "-c", _PRELUDE, "sh", *words))


def refusal(stderr: bytes) -> str:
    """Why the program ended badly: its own last word, and what the tool it ran had to say."""
    lines = [printable(line) for line in stderr[-4000:].strip().split(b"\n")]
    own = [line[4:] for line in lines if line.startswith("vx: ")]
    others = [line for line in lines if line and not line.startswith("vx: ")]
    if not own:
        return "; ".join(others[-3:]) or "the guest gave no reason"
    return f"{own[-1]} ({others[-1]})" if others else own[-1]
