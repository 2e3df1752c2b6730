#!/bin/sh
# deps.sh [build|lint] - installs what is missing of a C compiler and make, and of what the tests and pictures need: Check,
# pkg-config and Graphviz; with `build` the first two only, with `lint` clang-format, clang-tidy, cppcheck and valgrind
# too. Asks nothing, uses sudo when not root, and does nothing (so needs no network) when all is there.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

has_check()
{
    has pkg-config && pkg-config --exists check
}

missing=
has cc || missing="$missing gcc libc6-dev"
has make || missing="$missing make"
if [ "${1-}" != build ]; then
    has_check || missing="$missing check"
    has pkg-config || missing="$missing pkg-config"
    has dot || missing="$missing graphviz"
fi
if [ "${1-}" = lint ]; then
    for tool in clang-format clang-tidy cppcheck valgrind; do
        has $tool || missing="$missing $tool"
    done
fi
if [ -z "$missing" ]; then
    echo 'deps: all that is needed is here'
    exit 0
fi
echo "deps: missing:$missing"

root=
[ "$(id -u)" = 0 ] || root=sudo

# The packages of the missing tools by this system's names: `names tool=package ...`, a tool's own name where none is given.
names()
{
    packages=
    for tool in $missing; do
        package=$tool
        for pair in "$@"; do
            [ "${pair%%=*}" = "$tool" ] && package=${pair#*=}
        done
        case " $packages " in *" $package "*) ;; *) packages="$packages $package" ;; esac
    done
}

if has apt-get; then
    names
    $root apt-get update
    # shellcheck disable=SC2086 # a list of words
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
elif has dnf; then
    names libc6-dev=glibc-devel check=check-devel pkg-config=pkgconf-pkg-config clang-format=clang-tools-extra clang-tidy=clang-tools-extra
    $root dnf install -y $packages
elif has pacman; then
    names libc6-dev=gcc pkg-config=pkgconf clang-format=clang clang-tidy=clang
    $root pacman -S --noconfirm --needed $packages
elif has zypper; then
    names libc6-dev=glibc-devel check=check-devel clang-format=clang-tools clang-tidy=clang-tools
    $root zypper --non-interactive install $packages
elif has apk; then
    names libc6-dev=musl-dev check=check-dev pkg-config=pkgconf clang-format=clang-extra-tools clang-tidy=clang-extra-tools
    $root apk add $packages
elif has brew; then
    names libc6-dev=gcc pkg-config=pkgconf clang-format=llvm clang-tidy=llvm
    brew install $packages
else
    echo "deps: no package manager that this script knows: please install by hand:$missing" >&2
    exit 1
fi
