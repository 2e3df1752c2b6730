#!/bin/sh
# `unroll bench`: its lines and their members, operations against formulas, losses against those of `unroll train` and of
# the library's cell, the machine's limits, errors, and the chart. What the times are is no matter of a test.
set -u

chart=$PWD/tools/bench-chart.py
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
LC_ALL=C
export LC_ALL
failed=0

fail() {
    failed=1
    printf '%s\n' "$*"
}

# bench WORD ...: runs the command; its output is in out
bench() {
    "$UNROLL" bench "$@" >out 2>err </dev/null || { fail "unroll bench $*: exit status $?"; cat err; }
    [ ! -s err ] || { fail "unroll bench $*: stderr is not empty:"; cat err; }
}

# json WORD ...: the same with --json; is every line an object whose members are texts, numbers or null?
json() {
    bench --json "$@"
    awk '{
        text = "\"[^\"\\\\]*\""
        number = "-?(0|[1-9][0-9]*)(\\.[0-9]+)?(e[-+]?[0-9]+)?"
        member = text ": (" text "|" number "|null)"
        wrong += $0 !~ "^[{]" member "(, " member ")*[}]$"
    }
    END { exit wrong || NR == 0 }' out || fail "unroll bench --json $*: a line is no JSON object of numbers and texts"
}

# member WORKLOAD NAME: its value in the line of the workload
member() { sed -n "s/^{\"workload\": \"$1\",.* \"$2\": \"\{0,1\}\([^,\"}]*\).*/\1/p" out; }

# close_to WHAT A B: are the numbers equal to six digits?
close_to() {
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d * d <= 1e-12 * b * b) }' ||
        fail "$1: $2, expected $3"
}

# is_lower WHAT A B: is A below B?
is_lower() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a != "" && b != "" && a + 0 < b + 0) }' || fail "$1: $2 is not below $3"; }

# ---- the lines

bench --threads 1 --hidden 3 --batch 2 --steps 2 W9 W10 W6
grep -Evq '^unroll [^ ]+ 1 [0-9]+\.[0-9]+ [0-9]+\.[0-9]+$' out && fail "a line is not \`unroll WORKLOAD 1 MEDIAN MIN\`"
awk '!($4 > 0 && $5 > 0 && $5 <= $4) { exit 1 }' out || fail 'a time is not positive, or a minimum lies above its median'
lines=$(cut -d ' ' -f 2 out | tr '\n' ' ')
[ "$lines" = 'W6 W9-100 W9-1000 W9-10000 W10 W10-replay ' ] || fail "the lines are $lines"

json W11 --batch 20
[ "$(member W11 per)" = process ] || fail 'W11 is not per process'
is_lower 'W11: 1 MiB' 1048576 "$(member W11 peak_bytes)"

# ---- losses, and operations: per position 2 G m (2 (d + m) + m) + 6 m p with G gates. They are those of the matrix
# products forward, of the weights' gradient, of the state's, and three times those of the output layer

json W5 W12 W4 W8m W8 W7 W6 W3 W2-lengths W2 W1 --hidden 2 --batch 1 --steps 2
cp out all.json
lines=$(sed 's/^{"workload": "\([^"]*\)".*/\1/' out | tr '\n' ' ')
[ "$lines" = 'W1 W2 W2-lengths W3 W4 W5 W6 W7 W8 W8m W12-8 W12-32 W12-128 ' ] || fail "the lines are $lines"
for workload in W1 W2 W2-lengths W3 W4 W5 W7 W8 W8m W12-8 W12-32 W12-128; do
    is_lower "$workload: the loss after two updates" "$(member $workload loss_third)" "$(member $workload loss_first)"
done
while read -r workload gates inputs outputs positions; do
    close_to "$workload: flops" "$(member "$workload" flops)" \
        $((positions * (2 * gates * 2 * (2 * (inputs + 2) + 2) + 6 * 2 * outputs)))
done <<end
W1 1 7 7 2
W2 4 7 7 2
W3 1 7 7 2
W4 4 128 0 2
W5 4 512 0 2
W7 2 32 0 2
W8 4 32 0 2
W12-32 4 32 0 1
end
close_to 'W6: flops' "$(member W6 flops)" $((2 * 4 * 2 * (64 + 2)))

# the library's cell and the user's composition
json W7 W7-shipped --hidden 4 --batch 2 --steps 3
for which in loss_first loss_third flops; do
    close_to "W7-shipped: $which" "$(member W7-shipped $which)" "$(member W7 $which)"
done

# the same training by `unroll train`
json W1-lengths --batch 60
"$UNROLL" train rnn --task reber --count 60 --max-length 52 --hidden 4 --reduce sum --lr 1e-4 --epochs 3 --quiet \
    --log train.csv >positions || fail 'unroll train failed'
close_to 'W1-lengths: first loss' "$(member W1-lengths loss_first)" "$(awk -F, '$1 == 1 { print $2 }' train.csv)"
close_to 'W1-lengths: third loss' "$(member W1-lengths loss_third)" "$(awk -F, '$1 == 3 { print $2 }' train.csv)"
positions=$(sed -n 's/^wrong positions .* of //p' positions)
close_to 'W1-lengths: flops' "$(member W1-lengths flops)" $((positions * (2 * 4 * (2 * 11 + 4) + 6 * 4 * 7)))

# ---- the machine's limits

bench --limits W12-8 --hidden 1 --steps 1
awk '/^limit / { n++; names = names " " $2; if (!($3 > 0) || NF != 4) exit 1 } END { exit n != 5 }' out ||
    fail 'expected five lines `limit NAME VALUE UNIT`'
grep -Eq '^limit f32_peak_(avx512|avx2|portable) [0-9.]+ GFLOP/s$' out || fail 'no limit f32_peak'
json --limits W4 --steps 1 --batch 4
is_lower 'fraction of the peak' "$(member W4 fraction_of_peak)" 1
peak=$(sed -n 's/^{"limit": "f32_peak_[a-z0-9]*", "value": \([^,]*\).*/\1/p' out)
awk -v f="$(member W4 fraction_of_peak)" -v g="$(member W4 gflops)" -v p="$peak" \
    'BEGIN { d = f - g / p; exit !(p > 0 && d * d < 1e-8 * f * f) }' || fail 'the fraction is not gflops over the peak'

# ---- errors: one line, nothing on stdout

# refuses PATTERN WORD ...
refuses() {
    pattern=$1
    shift
    "$UNROLL" bench "$@" >out 2>err </dev/null
    status=$?
    [ $status -eq 2 ] || fail "unroll bench $*: exit status $status, expected 2"
    [ ! -s out ] || fail "unroll bench $*: something on stdout"
    { [ "$(wc -l <err)" -eq 1 ] && grep -Eq "$pattern" err; } || { fail "unroll bench $*: no line $pattern:"; cat err; }
}

refuses "^unroll: there is no workload 'W13', expected some of W11, W1, W1-lengths, .*W12-128$" W1 W13
refuses "^unroll: there is no workload 'w1', " w1
refuses '^unroll: --hidden: an integer from 1 ' W1 --hidden 0
refuses '^unroll: --batch: an integer from 1 to [0-9]+ was expected, not .full.$' W1 --batch full
refuses '^unroll: --steps: an integer from 1 ' W1 --steps 1.5
refuses '^unroll: --threads: an integer from 1 ' W1 --threads 0

# ---- the chart

if command -v python3 >/dev/null; then
    grep -e '"W1"' -e '"W4"' all.json >out
    printf '%s\n' '# check' 'peer W1_reber 1 0.002 0.001' 'peer W4_lstm128 2 3e-9 2e-9' \
        'peer W9_length_T100 1 0.003 0.002' 'slow W4 1 5 5' >peer
    "$chart" out peer --svg chart.svg --title 'a < b' >table.md || fail 'bench-chart.py failed'
    grep -q '^| workload | unroll | peer | peer, 2 threads | slow |$' table.md || fail 'table.md: the head is wrong'
    grep -Eq '^\| W1 \| [0-9.]+ [mu]s \| 2 ms \|  \|  \|$' table.md || fail 'table.md: the row of W1 is wrong'
    grep -Eq '^\| W4 \| [0-9.]+ [mu]s \|  \| 3 ns \| 5 s \|$' table.md || fail 'table.md: the row of W4 is wrong'
    grep -q '^| W9-100 |  | 30 us |  |  |$' table.md || fail 'table.md: the row of W9-100 is not for a time step'
    [ "$(grep -c '^<rect ' chart.svg)" -eq 6 ] || fail 'chart.svg has not five bars on its ground'
    grep -q '>slow 5 s, 1670000000 x<' chart.svg || fail 'chart.svg: the ratio of the slow one is wrong'
    python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' chart.svg || fail 'chart.svg is no XML'
fi

exit $failed
