#!/bin/sh
# Builds banger, flattens the sample image of this folder, and shows the tree inside the filesystem.
# usage: quickstart.sh [OUTPUT]       (default: rootfs.ext4 here, replaced if it is there)
set -eu
output=${1:-rootfs.ext4}
case $output in /*) ;; *) output=$PWD/$output ;; esac
cd "$(dirname "$0")/.."
cargo build --release --locked --package banger --bin banger
target/release/banger flatten oci:examples/sample:latest --output "$output" --force
echo
cargo run --release --quiet --locked --package ext4-writer --example tree -- "$output"
