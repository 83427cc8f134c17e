#!/bin/sh
[ ! -x /opt/shutdown.sh ] || /opt/shutdown.sh
if [ "$1" = reboot ]; then exec sudo reboot; fi
exec sudo poweroff
