#!/bin/sh
# Every program of tools/examples does what it says: it runs, prints nothing of an error, and its numbers hold against
# what it computes by another way. BUILD is the directory that make builds in.
set -eu

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
fail() { echo "$name: $1"; sed 's/^/    /' "$here/text" | head -n 40; exit 1; }

# $1 is a condition in awk, true of the program's text as a whole: the named values are gathered by the rules in $2.
holds() { awk "$2 END { exit !($1) }" "$here/text" || fail "does not hold: $1"; }

is_diagram() {
    [ "$(head -n 1 "$here/out")" = 'digraph unroll {' ] && [ "$(tail -n 1 "$here/out")" = '}' ] || fail 'no diagram'
    for words in "$@"; do grep -q -F "$words" "$here/out" || fail "no $words in the diagram"; done
    if command -v dot >/dev/null 2>&1; then
        dot -Tsvg "$here/out" >"$here/svg" 2>"$here/dot" && [ ! -s "$here/dot" ] || fail 'Graphviz does not take it'
    fi
}

for source in tools/examples/*.c; do
    name=$(basename "$source" .c)
    status=0
    "$BUILD/examples/$name" >"$here/out" 2>"$here/err" || status=$?
    cat "$here/err" "$here/out" >"$here/text"
    [ $status -eq 0 ] || fail "exit status $status"
    ! grep -q -i -w -e nan -e inf "$here/text" || fail 'numbers that are not finite'
    case $name in
    logistic_regression)
        [ ! -s "$here/err" ] || fail 'an error was printed'
        # ln 2 by no knowledge, and at the end below the weights that drew the targets
        holds 'before > 0.693147 - 1e-5 && before < 0.693148 + 1e-5 && after > 0 && after < truth && truth < before' \
            '/^loss before/ { before = $3 } /^loss after/ { after = $3 } /^loss of truth/ { truth = $4 }'
        ;;
    own_operation)
        is_diagram 'h = window' 'u = tanh' 'style=dashed'
        grep -q -x -F 'h = u ./ (1 + a^2)' "$here/err" || fail 'another formula'
        grep -q -x -F 'refused: window(x[2,2], h[3,2]) at step 4: sizes differ and neither is 1' "$here/err" ||
            fail 'wrong shapes are not refused with these words'
        holds 'first == 6 && second == 6 && all == 12' \
            '/^order/ { all++ } /^order 1 holds$/ { first++ } /^order 2 holds$/ { second++ }'
        holds 'count == 6 && wrong == 0 && some' \
            '/^h .* expected/ { count++; d = $2 - $4; wrong += d > 1e-11 || d < -1e-11; some += $2 != 0 }'
        ;;
    own_training_loop)
        [ ! -s "$here/err" ] || fail 'an error was printed'
        holds 'after > 0 && after < without / 5 && first > after' \
            '/^epoch 0/ { first = $4 } /^loss after/ { after = $4 } /^loss without/ { without = $4 }'
        ;;
    all_deltas)
        [ ! -s "$here/err" ] || fail 'an error was printed'
        # the two columns of deltas are the recursion by hand; h is once more phi h[t-1] + (1 - phi) u
        holds 'rows == 6 && apart != "" && apart < 1e-15 && wrong == 0 && size > 1e-3' '
            /^[1-9] / { rows++; d = $3 - ($4 * h + (1 - $4) * $5); wrong += d > 2e-4 || d < -2e-4; h = $3
                        size += $6 * $6 + $7 * $7 }
            / apart$/ { apart = $(NF - 1) }'
        ;;
    hessian_vector)
        [ ! -s "$here/err" ] || fail 'an error was printed'
        holds 'rows == 18 && wrong == 0 && size > 1' \
            '/ H v / { rows++; d = $4 - $6; wrong += d > 1e-6 || d < -1e-6; size += $4 * $4 }'
        ;;
    plain_loop)
        [ ! -s "$here/err" ] || fail 'an error was printed'
        holds 'd < -1e-3 && (d - q) ^ 2 < 1e-14' '/^derivative/ { d = +$2; q = +$5 }'
        grep -q -F "\`$(cat "$here/out")\`" README.md || fail 'README.md says something else'
        ;;
    gated_cell)
        is_diagram 'h = add' 'Whphi' 'bce_net' 'label="phi"' 'style=dashed'
        holds 'all == 8 && held == 8' '/^gradient/ { all++ } /^gradient [0-7] holds$/ { held++ }'
        holds 'loss > 0 && loss < 0.0693 && wrong == 0 && of == 40' '/^loss/ { loss = $2; wrong = $7; of = $9 }'
        [ "$(sed -n '/^int main/,$p' "$source" | wc -l)" -le 40 ] || fail 'longer than 40 lines'
        ;;
    *) fail 'this test does not know what it has to show' ;;
    esac
    [ "$(grep -c 'return 1' "$source")" -eq 1 ] || fail 'one error test is enough'
    [ "$(wc -l <"$source")" -le 90 ] || fail 'longer than 90 lines'
done
