#!/bin/sh
# -b packs what /opt/.filetool.lst names into the backup, -r unpacks it.
read -r name </etc/sysconfig/mydata
backup=$(readlink /etc/sysconfig/tcedir)/$name.tgz
case $1 in
-b) sudo tar -C / -czf "$backup" $(cat /opt/.filetool.lst) ;;
-r) sudo tar -C / -xzf "$backup" ;;
esac
