#!/bin/sh
# Waits until cloud-init has ended its work of this boot, and says what came of it.
# Arguments: where the guest's files are, empty for /.
#
# Only the shell looks until all is over: the start of `cloud-init status` alone takes seconds of an
# emulated processor, which cloud-init needs itself, and before 23.4 it waits no longer than to the
# first error, with stages still to come. It reads these same files; what they leave open it is
# asked in the end. Where nothing is left for systemd to do, no result will come any more.
# User data that could not be read are, before cloud-init 23.4, told of in the log alone.
root=${1-} r=${1-}/run/cloud-init n=0 told=
[ -d "$r" ] || command -v cloud-init >/dev/null 2>&1 || { echo state=missing; exit 0; }
while [ ! -s "$r/result.json" ]; do
  if [ -e "$r/disabled" ] || [ -e "$root/etc/cloud/cloud-init.disabled" ]; then
    echo state=disabled; exit 0
  fi
  stage=
  if [ -r "$r/status.json" ]; then
    while read -r line; do
      case $line in '"stage": "'*) stage=${line#*: \"} stage=${stage%%\"*};; esac
    done <"$r/status.json"
  fi
  [ "$stage" = "$told" ] || { echo "stage=$stage"; told=$stage; }
  n=$((n + 1))
  if [ $((n % 12)) = 4 ]; then
    echo # where nobody listens any more, this ends it
    case $(systemctl is-system-running 2>/dev/null) in running | degraded) break;; esac
  fi
  sleep 0.25 2>/dev/null || sleep 1
done
if [ -s "$r/result.json" ]; then
  echo state=done
else
  cloud-init status >/dev/null 2>&1; echo "state=stopped $?"
fi
log=$root/var/log/cloud-init.log
# shellcheck disable=SC2016 # awk's own
unread='/running .init-local/ { found = "" }
/WARNING.*(Failed loading yaml|Failed at merging|Unhandled .* userdata)/ { found = found "unread=" $0 "\n" }
END { printf "%s", found }'
{ sudo -n awk "$unread" "$log" || awk "$unread" "$log"; } 2>/dev/null
echo json=; cat "$r/status.json" 2>/dev/null
exit 0
