#!/bin/sh
# The README's table of operations is what `unroll help ops` prints, its program an example, its plan what the command
# prints (bytes and how wide blocks are depend on the instruction set).
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

command=$(sed -n 's|^\$ build/unroll \(.*--explain-plan.*\)|\1|p' README.md)
UNROLL_ISA=portable "$UNROLL" $command >"$folder/plan"
awk '/^```/ { inside = 0 } inside && $0 != "..." && $1 != "..." && !/[0-9][0-9][0-9][0-9]/
     /^\$ .*--explain-plan/ { inside = 1 }' README.md >"$folder/words"
[ "$(wc -l <"$folder/words")" -gt 40 ]
while IFS= read -r line; do
    grep -q -x -F -e "$line" "$folder/plan" || { echo "README.md: not in the plan: $line"; exit 1; }
done <"$folder/words"
