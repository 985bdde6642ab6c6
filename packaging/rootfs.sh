#!/bin/sh
# Lays the root filesystem of the container's image into a directory: the static command, the certificates it needs for
# HTTPS, a user, and places to write to. The Dockerfile runs it, and so does the test of what comes of it.
set -eu
root=$1
version=${2:-} # of a release, such as v1.2.3
certificates=/etc/ssl/certs/ca-certificates.crt
[ -s "$certificates" ] || { echo "$certificates is missing (Debian: apt-get install ca-certificates)" >&2; exit 1; }

mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/tmp" "$root/state"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.released=$version" -o "$root/usr/bin/milepost" ./cmd/milepost
cp "$certificates" "$root$certificates"
echo 'milepost:x:65532:65532:milepost:/state:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'milepost:x:65532:' >"$root/etc/group"
chmod 1777 "$root/tmp"
chown 65532:65532 "$root/state"
