#!/bin/sh
# Builds stand-ins for the official Redis and PostgreSQL images from the package sources that this
# Debian or Ubuntu machine already uses, for machines that cannot pull from a registry.
#
#   outage-lab/base:local       the distribution itself (debootstrap)
#   outage-lab/redis:local      base + redis-server
#   outage-lab/postgres:local   base + postgresql with its contrib modules
#
# Needs root, debootstrap and a Docker engine. An image that exists is kept; OUTAGE_LAB_REBUILD=1
# makes all of them anew. Ends with 0 when all three images are there.
set -eu

BASE=outage-lab/base:local
REDIS=outage-lab/redis:local
POSTGRES=outage-lab/postgres:local
HERE=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "local-images: $*" >&2
    exit 1
}

has_image() {
    [ "${OUTAGE_LAB_REBUILD:-0}" != 1 ] && docker image inspect "$1" >/dev/null 2>&1
}

require() {
    command -v docker >/dev/null 2>&1 || fail "the docker command is missing; install docker-cli"
    docker version >/dev/null 2>&1 || fail "no Docker engine answers; start it, or set DOCKER_HOST"
}

# The host's own distribution and mirror. `apt-get indextargets` reads both formats of sources.
find_mirror() {
    [ -r /etc/os-release ] || fail "this is not Debian or Ubuntu; pull the official images instead"
    CODENAME=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$CODENAME" ] || fail "/etc/os-release names no release; pull the official images instead"
    command -v apt-get >/dev/null 2>&1 || fail "apt-get is missing; pull the official images instead"
    MIRROR=$(sources_of "$CODENAME" '$(SITE)' | head -n 1)
    [ -n "$MIRROR" ] || fail "apt has no source for $CODENAME; run apt-get update first"
    COMPONENTS=$(sources_of "$CODENAME" '$(COMPONENT)' | sort -u | paste -s -d , -)
}

# Prints one field of every package index of release $1.
sources_of() {
    apt-get indextargets --format "\$(CODENAME) $2" "Created-By: Packages" 2>/dev/null |
        sed -n "s/^$1 //p"
}

# A proxy that apt is told to use must also be used inside the builds.
find_proxy() {
    PROXY=
    eval "$(apt-config shell PROXY Acquire::http::Proxy)"
    [ "$PROXY" != DIRECT ] || PROXY=
    PROXY=${PROXY:-${http_proxy:-}}
}

build_base() {
    [ "$(id -u)" = 0 ] || fail "debootstrap needs root; run: sudo $0"
    command -v debootstrap >/dev/null 2>&1 ||
        fail "debootstrap is missing; run: apt-get install debootstrap"
    ROOT=$(mktemp -d /var/tmp/outage-lab-base.XXXXXX)
    trap 'rm -rf "$ROOT"' EXIT
    trap 'exit 1' INT TERM HUP
    if ! http_proxy=$PROXY debootstrap --variant=minbase --include=ca-certificates \
        --components="$COMPONENTS" "$CODENAME" "$ROOT/root" "$MIRROR" >"$ROOT/log" 2>&1; then
        tail -n 3 "$ROOT/log" >&2
        fail "debootstrap of $CODENAME did not succeed"
    fi
    rm -rf "$ROOT"/root/var/cache/apt/archives/*.deb "$ROOT"/root/var/lib/apt/lists/*
    tar -C "$ROOT/root" --numeric-owner -c . | docker import - "$BASE" >/dev/null ||
        fail "docker could not import the base image"
}

# Builds image $1 from folder $2 beside this script.
build_on_base() {
    LOG=$(mktemp)
    if ! docker build --network=host --build-arg BASE="$BASE" --build-arg http_proxy="$PROXY" \
        --tag "$1" "$HERE/$2" >"$LOG" 2>&1; then
        tail -n 5 "$LOG" >&2
        rm -f "$LOG"
        fail "docker could not build $1"
    fi
    rm -f "$LOG"
}

require
find_mirror
find_proxy
for IMAGE in "$BASE" "$REDIS" "$POSTGRES"; do
    if has_image "$IMAGE"; then
        echo "local-images: $IMAGE is there"
        continue
    fi
    echo "local-images: building $IMAGE ($CODENAME)"
    case $IMAGE in
    "$BASE") build_base ;;
    "$REDIS") build_on_base "$REDIS" redis ;;
    "$POSTGRES") build_on_base "$POSTGRES" postgres ;;
    esac
done
