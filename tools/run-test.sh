#!/bin/sh
# Runs one test and says in a line how it went; sums up what ran.
#
#   run-test.sh LOG COMMAND ...   runs COMMAND with its output in LOG; the log's last line is `result PASSED FAILED`.
#                                 The exit status is 0 in any case, so that the other tests run too.
#   run-test.sh --sum LOG ...     prints `N passed, N failed`; exit status 1 if any failed, or if nothing ran
#
# A program that uses Check counts as many times as it has checks, anything else once.
set -u

if [ "$1" = --sum ]; then
    shift
    [ $# -gt 0 ] || { echo 'there are no tests'; exit 1; }
    for log in "$@"; do tail -n 1 "$log"; done | awk '
        { passed += $2; failed += $3 }
        END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 || passed == 0 }'
    exit
fi

log=$1
shift
mkdir -p "$(dirname "$log")"
started=$(date +%s)
CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120} "$@" >"$log" 2>&1 </dev/null
status=$?
seconds=$(($(date +%s) - started))
counts=$(awk -v status=$status '
    /Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
        sub(/.*Checks: /, ""); split($0, n, /[^0-9]+/); all += n[1]; failed += n[2] + n[3]
    }
    END {
        if (status != 0 && failed == 0) { failed = 1; if (all > 0) all++ }
        if (all == 0) all = 1
        print all - failed, failed + 0
    }' "$log")
name=${log##*/log/}
name=${name%.log}
if [ "${counts#* }" -eq 0 ]; then
    printf 'pass  %s: %s, %d s\n' "$name" "${counts% *}" "$seconds"
else
    { printf 'FAIL  %s: %s of %d, exit status %d, %d s\n' "$name" "${counts#* }" "$((${counts% *} + ${counts#* }))" \
        "$status" "$seconds"; sed 's/^/      /' "$log" | tail -n 100; }
fi
printf '\nresult %s\n' "$counts" >>"$log"
