#!/bin/sh
/usr/bin/sethostname box
/opt/bootlocal.sh &
