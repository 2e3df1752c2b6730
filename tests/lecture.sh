#!/bin/sh
# `unroll lecture`: every row holds, the misprints are there by name, right formulas agree to 1e-12, and the table in
# markdown has as many cells in each row. UNROLL is the command.
set -eu

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
fail() { echo "$1"; exit 1; }

"$UNROLL" lecture >"$here/text" 2>"$here/err" || fail "exit status $?"
[ ! -s "$here/err" ] || fail 'something was printed on stderr'
"$UNROLL" lecture --format text | cmp -s - "$here/text" || fail '--format text is another report'
tail -n 1 "$here/text" | grep -q -E '^[0-9]+ right, [0-9]+ misprints, [0-9]+ missing, [0-9]+ claims; every row holds$' ||
    fail 'no summary'
! grep -q -w -i -e fail -e fails -e nan -e inf "$here/text" || fail 'a row fails'

# verdict and name of the rows that must be there
while read -r verdict name; do
    grep -q -x -F "$(printf '%-9s %s' "$verdict" "$name")" "$here/text" || fail "no row '$verdict $name'"
done <<'ROWS'
right δ^o, sigmoid and binary cross-entropy
right δ^o, softmax and cross-entropy, with the Jacobian
right RNN: δ^h
misprint RNN: δ^h is a derivative of E_xt
misprint RNN: δ^h has components 1 ... p
misprint RNN: δ^h_{t+1} = 0
misprint gated RNN: δ^u, scalar line
right gated RNN: δ^u, vector line
right gated RNN: δ^φ, vector line
right gated RNN: δ^h
misprint LSTM: δ^c as printed
misprint LSTM: δ^c, 1 − c ⊙ c alone
misprint LSTM: δ^c, φ_t alone
right LSTM: δ^κ of the input gate κ
missing LSTM: δ^φ of the forget gate
right LSTM: δ^u
right LSTM: δ^ω of the output gate ω
right LSTM: δ^h
misprint He: variance of the weights
right linear RNN: δ^h_t = W_h^(τ−t) δ^h_τ
right gate example, differentiable
right update example: the sum
right table of Y for BPTVVE
claim sLSTM: bκ has no gradient
claim batch normalisation: a bias before it
claim MLP: errors per string
ROWS

# the numbers once more: a right row's difference, and both of a misprint that is a formula
awk '
    /^(right|misprint|missing|claim) / { verdict = $1; rows++ }
    $1 == "difference" && verdict == "right" { right++; if ($2 > 1e-12) bad = bad " " $0 }
    $1 == "difference" && verdict == "missing" && $2 > 1e-12 { bad = bad " " $0 }
    $1 == "difference" && verdict == "misprint" { wrong++; if ($2 < 1e-3 || $6 > 1e-12) bad = bad " " $0 }
    END { if (rows < 60 || right < 40 || wrong < 10 || bad) { print rows, right, wrong, bad; exit 1 } }' "$here/text" ||
    fail 'the differences are not those of the verdicts'

# 2.594 wrong positions is the exact expectation of the best predictor without memory
grep -q -F '2.594 is the exact expectation' "$here/text" || fail 'no exact expectation'

"$UNROLL" lecture --format markdown >"$here/markdown" || fail "markdown: exit status $?"
awk '
    /^\|/ { line = $0; gsub(/\\\|/, "", line); if (gsub(/\|/, "", line) != 8) { print; bad = 1 } rows++ }
    /^\| --- / { rules++ }
    END { exit bad || rules != 1 || rows < 62 }' "$here/markdown" || fail 'the markdown table is not well-formed'

status=0
"$UNROLL" lecture -o "$here/folder" >"$here/out" 2>"$here/err" || status=$?
[ $status -eq 2 ] && [ ! -s "$here/out" ] && grep -q '^unroll: --output: ' "$here/err" && [ ! -e "$here/folder" ] ||
    fail '--output without --experiments is not refused'
