#!/bin/sh
# coverage.sh BUILD GCOV - what the tests reached in an instrumented BUILD: lines and branches of every file and folder.
# A source compiled several times counts as often.
set -eu
build=$1 gcov=$2

find "$build/obj" -name '*.gcno' | sort | while read -r notes; do
    $gcov -n -b -o "$(dirname "$notes")" "$notes" 2>/dev/null
done | awk '
    function percent(part, all) { return all ? sprintf("%6.1f%%", 100 * part / all) : "      -" }
    function row(name) {
        return sprintf("%-28s %7d %s %9d %s", name, lines[name], percent(hit[name], lines[name]), branches[name], \
            percent(taken[name], branches[name]))
    }
    # `Lines executed:97.30% of 111`
    function count(text, n) { split(text, n, /:|% of /); all = n[3]; reached = n[2] * n[3] / 100 }
    /^File / {
        file = $2; gsub(/\047/, "", file); known = file ~ /^(graph|ops|layers|optim|tools)\/.*\.c$/
        folder = file; sub(/\/.*/, "/", folder)
    }
    known == 1 && /^Lines executed/ { # a second such line is the total of all files
        known = 2; count($0)
        lines[file] += all; hit[file] += reached; lines[folder] += all; hit[folder] += reached
        lines["all"] += all; hit["all"] += reached
    }
    known && /^Taken at least once/ {
        count($0)
        branches[file] += all; taken[file] += reached; branches[folder] += all; taken[folder] += reached
        branches["all"] += all; taken["all"] += reached
    }
    END {
        printf "%-28s %7s %7s %9s %7s\n", "", "lines", "reached", "branches", "taken"; fflush()
        for (name in lines) if (name ~ /\.c$/) print row(name) | "sort"
        close("sort")
        for (name in lines) if (name ~ /\/$/) print row(name) | "sort"
        close("sort")
        print row("all")
    }'
