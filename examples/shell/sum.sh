#!/bin/sh
# Adds up the numbers in a file, a hundred lines at a time. Run it as
#
#   milepost run sum -- ./sum.sh numbers.txt
#
# and kill it as often as you like: the next run goes on at the last save.
set -eu
input=$1
at=${MILEPOST_CURSOR:-0}  # lines that are done; empty at first
sum=$(milepost state)     # the job's state: the sum of these lines
sum=${sum:-0}

while batch=$(sed -n "$((at + 1)),$((at + 100))p" "$input") && [ -n "$batch" ]; do
	lines=$(printf '%s\n' "$batch" | wc -l)
	sum=$(printf '%s\n' "$batch" | awk -v sum="$sum" '{ sum += $1 } END { printf "%.0f", sum }')
	at=$((at + lines))
	# One call saves cursor, counts and state together, so they always match.
	echo "$sum" | milepost mark --cursor "$at" --processed "$lines" --state -
done
echo "$at lines add up to $sum"
