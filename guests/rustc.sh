#!/bin/sh
# Stands between cargo and the compiler (RUSTC_WRAPPER) when `cargo xtask guests` makes the programs.
#
# Cargo gives every crate a hash (`-C metadata`) that decides about the names of symbols, and by them about the order of
# functions and so about the bytes. Into it goes the absolute path of a package that lies outside the workspace, as
# `crates/tensor` does: another checkout would give another program. So what lies in the checkout is told apart by its
# name and version instead; nothing here has two versions of one package.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
case "${CARGO_MANIFEST_DIR:-}" in
"$root"/*) ;;
*) exec "$@" ;;
esac
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    case "$argument" in
    metadata=*) argument="metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION" ;;
    esac
    set -- "$@" "$argument"
    left=$((left - 1))
done
exec "$@"
