#!/bin/sh
# `unroll lecture --experiments`: what the lecture reports is found again, and the diagrams are drawn. UNROLL is the
# command.
set -eu

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
fail() { echo "$1"; exit 1; }

"$UNROLL" lecture --experiments -o "$here/diagrams" >"$here/text" || { cat "$here/text"; fail "exit status $?"; }
tail -n 1 "$here/text" | grep -q 'every row holds$' || fail 'a row fails'
for name in sine gradients-over-time gradients-over-depth; do
    [ "$(tail -n 1 "$here/diagrams/$name.svg")" = '</svg>' ] || fail "no diagram $name.svg"
    ! grep -q -w -i -e nan -e inf "$here/diagrams/$name.svg" || fail "$name.svg: numbers that are not finite"
    if command -v xmllint >/dev/null 2>&1; then
        xmllint --noout "$here/diagrams/$name.svg" || fail "$name.svg is no XML"
    fi
done
