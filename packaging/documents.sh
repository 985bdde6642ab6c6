#!/bin/sh
# Writes what a package holds beside the command into a directory: the manual, the completions, the changelog. The
# same commit gives the same bytes: the manual's date is the commit's.
set -eu
dir=$1
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
rm -rf "$dir"
mkdir -p "$dir/man" "$dir/completions"

export CGO_ENABLED=0
unset GOOS GOARCH
go build -trimpath -buildvcs=false -o "$dir/milepost" ./cmd/milepost
"$dir/milepost" man "$dir/man"
gzip -9n "$dir"/man/*.1
for shell in bash zsh fish; do
	"$dir/milepost" completion "$shell" >"$dir/completions/milepost.$shell"
done
rm "$dir/milepost"
gzip -9n <CHANGELOG.md >"$dir/changelog.gz"
