# shellcheck shell=bash
# Debian packages, installed when a program is missing and this user may.

# need PROGRAM PACKAGE…: installs the packages unless the program is there.
need() {
    local program="$1"; shift
    command -v "$program" >/dev/null || with_lock install install_packages "$program" "$@"
}

install_packages() {
    local program="$1" as_root=(); shift
    command -v "$program" >/dev/null && return 0
    command -v apt-get >/dev/null || die "'$program' is missing and there is no apt-get here: install it, or use Docker"
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || die "'$program' is missing: run 'sudo apt-get install $*'"
        as_root=(sudo -n)
    fi
    echo "services.sh: installing $*" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -s -- "$@" <<'SCRIPT' >&2
set -euo pipefail
# The packages would start servers of their own on the usual ports; nobody asked for those.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/wallex-services.conf
undo() { rm -f "${created[@]}"; }
created=()
trap undo EXIT
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; created+=("$policy")
fi
mkdir -p "${cluster%/*}"; echo 'create_main_cluster = false' >"$cluster"; created+=("$cluster")
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"
SCRIPT
    hash -r
    command -v "$program" >/dev/null || die "installing $* did not bring '$program'"
}
