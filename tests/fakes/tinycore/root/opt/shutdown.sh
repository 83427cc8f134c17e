#!/bin/sh
: shut down >/opt/shut-down
