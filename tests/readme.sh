#!/bin/sh
# The README's table of operations is what `unroll help ops` prints, its program an example.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$UNROLL" help ops >"$folder/help"
awk '/^## / { here = $0 == "## Operations" }
     here && /^```/ { if (inside) exit; inside = 1; next }
     here && inside' README.md >"$folder/readme"
if [ ! -s "$folder/readme" ]; then
    echo 'README.md: no code block under the heading "## Operations"'
    exit 1
fi
diff "$folder/readme" "$folder/help"

awk '/^```/ { if (inside) exit; inside = $0 == "```c"; next }
     inside' README.md >"$folder/program"
sed '1,/\*\/$/d' tools/examples/plain_loop.c >"$folder/example"
diff "$folder/program" "$folder/example"
