#!/bin/sh
# The library neither ends nor talks for the program that uses it, and has no global state: no object of libunroll.a
# calls a function that exits, aborts or prints, refers to stdout or stderr, or has writable data. Constant tables of
# pointers lie in .data.rel.ro, which is read-only after relocation.
set -eu

archive=$BUILD/libunroll.a
[ -s "$archive" ] || { echo "$archive: not built"; exit 1; }

# nm prints `tape.o:`, then `                 U memcpy`; a member's name may come with the archive's, `lib.a:tape.o:`.
symbols=$(nm -u "$archive" | awk '
    /:$/ { object = $0; sub(/:$/, "", object); sub(/.*[:\/]/, "", object); objects++; next }
    $1 == "U" || $1 == "w" {
        name = $2; sub(/@.*/, "", name)
        if (name ~ /^(abort|exit|_exit|_Exit|quick_exit|__assert|__assert_fail|__assert_rtn|raise|perror|psignal|puts|putchar|printf|vprintf|__printf_chk|__vprintf_chk|putchar_unlocked|puts_unlocked|stdout|stderr|warn|warnx|err|errx|error|syslog)$/)
            print object ": refers to " name
    }
    END { if (objects == 0) print "no objects found" }')

# objdump prints `tape.o:     file format elf64-x86-64`, then `  1 .data  00000000  ...` with the size in hexadecimal.
sections=$(objdump -h "$archive" | awk '
    / file format / { object = $1; sub(/:$/, "", object); objects++; next }
    $1 ~ /^[0-9]+$/ && $2 ~ /^\.(data|bss|tdata|tbss|ldata|lbss|sdata|sbss)(\.|$)/ && $2 !~ /^\.data\.rel\.ro(\.|$)/ && $3 !~ /^0+$/ {
        print object ": writable section " $2 " of 0x" $3 " bytes"
    }
    END { if (objects == 0) print "no objects found" }')

# Common symbols, tentative definitions, have no section yet.
commons=$(nm "$archive" | awk '
    /:$/ { object = $0; sub(/:$/, "", object); next }
    $2 == "C" { print object ": writable common symbol " $3 }')

found=$(printf '%s\n%s\n%s\n' "$symbols" "$sections" "$commons" | sed '/^$/d')
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
