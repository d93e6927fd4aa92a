#!/bin/sh
# Builds banger, flattens the sample image of this folder, and shows the tree inside the filesystem.
# usage: quickstart.sh [OUTPUT]       (default: rootfs.ext4 here, replaced if it is there)
set -eu
output=${1:-rootfs.ext4}
case $output in /*) ;; *) output=$PWD/$output ;; esac
# A relative target directory is one of the caller's working directory.
target=${CARGO_TARGET_DIR:-}
case $target in "" | /*) ;; *) target=$PWD/$target ;; esac
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${target:-$PWD/target}"

# Shows a command, then runs it.
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}
echo "Building an optimised banger: a few minutes the first time."
run cargo build --release --locked --package banger --bin banger --package ext4-writer --example tree
run "$CARGO_TARGET_DIR/release/banger" flatten oci:examples/sample:latest --output "$output" --force
run "$CARGO_TARGET_DIR/release/examples/tree" "$output"
printf '\n%s is an ext4 filesystem. README.md says how to boot one.\n' "$output"
