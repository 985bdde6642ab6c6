#!/bin/sh
# Adds up the numbers in a file, a hundred lines at a time. Run it as
#
#   milepost run sum -- ./sum.sh numbers.txt
#
# and kill it as often as you like: the next run goes on where the last one was saved.
set -eu
input=$1
at=${MILEPOST_CURSOR:-0}  # lines that are done with; empty at first
sum=$(milepost state)     # the job's state: what they add up to
sum=${sum:-0}

while batch=$(sed -n "$((at + 1)),$((at + 100))p" "$input") && [ -n "$batch" ]; do
	lines=$(printf '%s\n' "$batch" | wc -l)
	sum=$(printf '%s\n' "$batch" | awk -v sum="$sum" '{ sum += $1 } END { printf "%.0f", sum }')
	at=$((at + lines))
	# Cursor, counts and state move together, so that they always belong to one another.
	echo "$sum" | milepost mark --cursor "$at" --processed "$lines" --state -
done
echo "$at lines add up to $sum"
