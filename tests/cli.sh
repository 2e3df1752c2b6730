#!/bin/sh
# The command as it is meant to be used: every command's help, results on stdout and progress on stderr, the files that
# it leaves, exit statuses, interrupts and streams. Wrong use is in mistakes.sh.
set -u

root=$PWD
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

# expect STATUS WORD ...: runs the command; its output is in out and err
expect() {
    wanted=$1
    shift
    "$UNROLL" "$@" >out 2>err </dev/null
    status=$?
    [ $status -eq "$wanted" ] || { fail "unroll $*: exit status $status, expected $wanted"; cat err; }
}

# has FILE PATTERN: a line of the file matches the extended regular expression
has() { grep -Eq -e "$2" "$1" || { fail "$1 has no line $2:"; head -n 20 "$1"; }; }
empty() { [ ! -s "$1" ] || { fail "$1 is not empty:"; head -n 5 "$1"; }; }
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
lines() { [ "$(wc -l <"$1")" -eq "$2" ] || fail "$1 has $(wc -l <"$1") lines, expected $2"; }

# Every element of an XML file ends, in the right order.
well_formed() {
    awk '
        { text = text $0 "\n" }
        END {
            while (match(text, /<[^>]*>/)) {
                tag = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                if (tag ~ /^<[?!]/ || tag ~ /\/>$/) continue
                name = tag
                gsub(/^<\/?|[ \n>].*$/, "", name)
                if (tag ~ /^<\//) { if (depth == 0 || open[depth--] != name) wrong = 1 }
                else { open[++depth] = name; all++ }
            }
            exit wrong || depth || !all || text ~ /</
        }' "$1" || fail "$1 is no well-formed XML"
}

# A list of objects whose members are strings and numbers, nothing else.
is_json() {
    tr -d '\n' <"$1" | awk '{
        string = "\"([^\"\\\\]|\\\\.)*\""
        number = "-?(0|[1-9][0-9]*)(\\.[0-9]+)?(e[-+]?[0-9]+)?"
        member = string ": *(" string "|" number "|null)"
        object = "[{]" member "(, *" member ")*[}]"
        exit $0 !~ "^\\[ *" object "(, *" object ")*\\]$"
    }' || fail "$1 is no JSON list"
}

# ---- help

expect 0 help
has out '^  train '
empty err
cp out help.txt
expect 0 --help
same out help.txt
for command in $(sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' help.txt); do
    [ "$command" != help ] || continue
    expect 0 help "$command"
    has out "^usage: unroll $command "
    has out '^Example:'
    has out "^  unroll $command "
    has out '^  --quiet '
    cp out help.txt
    expect 0 "$command" --help
    same out help.txt
done
expect 0 help ops
has out '^tanh '
expect 0 --version
has out '^unroll [0-9]+\.[0-9]+\.[0-9]+$'
lines out 1
for isa in portable avx2 avx512; do
    UNROLL_ISA=$isa expect 0 gradcheck lstm --strict
done
UNROLL_ISA=portable expect 0 info --cpu
has out '^instruction set: portable$'
expect 0 info --cpu
has out '^instruction set: '

# ---- training and what it leaves

small='--task reber --count 20 --hidden 4 --epochs 12'
expect 0 train rnn $small --save a.safetensors --log a.csv --plot a.svg
has out '^loss [0-9.]+$'
has out '^wrong positions [0-9]+ of [0-9]+$'
has out '^wrong sequences [0-9]+ of 20$'
has out '^epochs 12$'
has out '^saved a\.safetensors$'
lines out 5
has err '^epoch 1 loss '
has err '^epoch 12 loss '
lines err 5 # 1 2 5 10 12
has a.csv '^epoch,loss,wrong_positions,positions,wrong_sequences,sequences$'
lines a.csv 13
awk -F, 'NR > 1 && ($1 != NR - 1 || NF != 6 || $2 !~ /^[0-9.e+-]+$/) { exit 1 }' a.csv || fail 'a.csv: a line is wrong'
well_formed a.svg
has a.svg '^<svg xmlns="http://www.w3.org/2000/svg"'
expect 0 train rnn --quiet $small --save=b.safetensors --log=b.csv
empty err
same a.safetensors b.safetensors
same a.csv b.csv
expect 0 train rnn --quiet $small --seed 2 --save b.safetensors
! cmp -s a.safetensors b.safetensors || fail 'another seed, the same model'
expect 0 train $small --batch full --quiet --save b.safetensors -- rnn
same a.safetensors b.safetensors
lstm='lstm --task reber --count 200 --hidden 16 --epochs 3 --quiet'
expect 0 train $lstm --save one.safetensors
for n in 1 2 3; do
    expect 0 train $lstm --threads $n --save several.safetensors
    same one.safetensors several.safetensors
done
expect 0 eval one.safetensors --count 100
cp out one
expect 0 eval one.safetensors --count 100 --threads 2
same one out
expect 0 gradcheck rnn --threads 2
expect 0 train rnn --task reber --hidden 4 --dry-run --save never.safetensors
has out '^parameters 83$'
has out '^tape nodes [0-9]+$'
has out '^tape bytes [0-9]+$'
has out '^plan bytes [0-9]+$'
[ ! -e never.safetensors ] || fail '--dry-run wrote a model'
empty err
has out '^optimiser bytes [0-9]+$'
has out '^total bytes [0-9]+$'
total=$(awk '/^(tape|optimiser|plan) bytes/ { n += $3 } END { print n }' out)
has out "^total bytes $total\$"
lines out 7

# ---- plans: explained, and within a number of bytes

small_lstm='lstm --task reber --count 100 --hidden 20'
# shellcheck disable=SC2086
expect 0 train $small_lstm --dry-run
bytes=$(sed -n 's/^plan bytes //p' out)
# shellcheck disable=SC2086
expect 0 train $small_lstm --dry-run --memory $((bytes * 2 / 3))
[ "$(sed -n 's/^plan bytes //p' out)" -le $((bytes * 2 / 3)) ] || fail '--memory: the plan takes more'
# shellcheck disable=SC2086
expect 2 train $small_lstm --memory 1000
has err '^unroll: --memory: the plan takes at least [0-9]+ bytes, 1000 are allowed$'
lines err 1
empty out
# The number that is named is enough. Where evaluation may have a third, it is asked for first, then the rest for training.
# shellcheck disable=SC2086
expect 2 train $small_lstm --memory 3
# shellcheck disable=SC2086
expect 0 train $small_lstm --dry-run --memory "$(sed -n 's/.* at least \([0-9]*\) bytes, .*/\1/p' err)"
for options in '--valid 0.2' '--valid 0.5 --batch 10' '--until-zero-errors --batch 10'; do
    # shellcheck disable=SC2086
    expect 2 train $small_lstm $options --memory 3
    has err ', 1 are allowed; evaluation gets a third of --memory, training what is left$'
    memory=$((3 * $(sed -n 's/.* at least \([0-9]*\) bytes, .*/\1/p' err)))
    # shellcheck disable=SC2086
    if ! "$UNROLL" train $small_lstm $options --dry-run --memory $memory >out 2>err; then
        has err ', [0-9]* are allowed; evaluation gets a third of --memory, training what is left$'
        memory=$((3 * $(sed -n 's/.* at least \([0-9]*\) bytes, .*/\1/p' err) / 2 + 1))
    fi
    # shellcheck disable=SC2086
    expect 0 train $small_lstm $options --dry-run --memory $memory
done
# shellcheck disable=SC2086
expect 0 train $small_lstm --dry-run --valid 0.2 --memory $((bytes * 2))
[ "$(sed -n 's/^plan bytes //p' out)" -le $((bytes * 2)) ] || fail '--memory: two plans take more'
# shellcheck disable=SC2086
expect 0 train $small_lstm --epochs 2 --quiet --explain-plan
has out '^plan of training$'
has out "^      phi.net = Wphi' x [+] Whphi' h\[t-1\] [+] bphi$"
has out '^      c = kappa [.][*] u [+] phi [.][*] c\[t-1\]$'
has out '^epochs 2$'
cp out explained.txt
# shellcheck disable=SC2086
expect 0 train $small_lstm --epochs 2 --quiet --explain-plan
same out explained.txt
# shellcheck disable=SC2086
expect 0 train $small_lstm --explain-plan --dry-run --valid 0.2
has out '^plan of evaluation$'
has out '^total bytes [0-9]+$'
! grep -q '^loss ' out || fail '--dry-run trained'
expect 0 train rnn $small --until-zero-errors --quiet
has out '^zero errors not reached$'

# ---- interrupts: saved, with a status that tells

interrupt() {
    "$UNROLL" train rnn --task reber --count 20 --hidden 4 --epochs 1000000000 --save "$1.safetensors" --log "$1.csv" \
        >out 2>err </dev/null &
    child=$!
    waited=0
    until grep -q '^epoch 5 ' err || [ $waited -ge 300 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    kill -"$1" $child
    wait $child
    status=$?
    [ $status -eq "$2" ] || fail "SIG$1: exit status $status, expected $2"
    has out "^saved $1\.safetensors$"
    epochs=$(sed -n 's/^epochs //p' out)
    lines "$1.csv" $((epochs + 1))
    expect 0 info "$1.safetensors"
    has out "^epoch: $epochs$"
}
# A shell's background jobs ignore SIGINT, and what they start inherits that; unroll sets its own handler.
interrupt INT 130
interrupt TERM 143

# ---- evaluation

expect 0 eval a.safetensors --count 7
has out '^loss [0-9.]+$'
has out '^wrong positions [0-9]+ of [0-9]+$'
has out '^wrong sequences 7 of 7$'
sed 1,3d out >places
awk '!/^step [0-9]+: [0-9]+ wrong$/ && !/^[0-9]+ before the last step: [0-9]+ wrong$/ { exit 1 }' places ||
    fail 'eval: a place is wrong'
awk -v wrong="$(awk '/^wrong positions/ { print $3 }' out)" '/^step/ { n += $3 } END { exit n != wrong }' places ||
    fail 'eval: the places by step are not as many as the wrong positions'
empty err
expect 0 eval a.safetensors --count 7 --require 7
expect 1 eval a.safetensors --count 7 --require 6

# ---- data

expect 0 data reber --count 6 -o D.safetensors
empty out
expect 0 data reber --count 6 --output D2.safetensors
same D.safetensors D2.safetensors
expect 0 data reber --count 6 --format text
lines out 6
awk '!/^B[TSXVP]+E$/ || length < 30 { exit 1 }' out || fail 'data: no strings of the grammar'
cp out strings
expect 0 data reber --count 6 --format text -o strings2
empty out
same strings strings2
expect 0 info D.safetensors
has out '^x\[6,[0-9]+,7\] F32$'
has out '^y\[6,[0-9]+,7\] F32$'
has out '^lengths\[6\] I64$'
has out '^3 arrays, '
expect 0 train rnn --data D.safetensors --hidden 4 --out sigmoid --loss bce --epochs 3 --quiet
has out '^wrong sequences [0-9]+ of 6$'
loss=$(head -n 1 out)
expect 0 train rnn --task reber --count 6 --hidden 4 --epochs 3 --quiet
[ "$loss" = "$(head -n 1 out)" ] || fail 'the same data from a file and from a task, another loss'
expect 0 eval a.safetensors --data D.safetensors
has out '^wrong sequences [0-9]+ of 6$'
expect 0 info a.safetensors
has out '^cell: rnn$'
has out '^Wh\[4,4\] F32$'
has out '^task: reber$'

# ---- checks and diagrams

expect 0 gradcheck rnn --out sigmoid --loss bce
has out '^holds +Wi\[[0-9],[0-9]\] '
has out '^[0-9]+ of [0-9]+ elements hold, 0 wrong, 0 unstable$'
empty err
expect 0 gradcheck rnn --out sigmoid --loss bce --format json
is_json out
expect 0 gradcheck rnn --order 2 --strict
expect 0 gradcheck mlp --out softmax --loss ce --seed 3 --tolerance 1e-6
expect 0 graph rnn --out sigmoid
has out '^digraph '
cp out rnn.dot
expect 0 graph rnn --out sigmoid -o rnn2.dot
empty out
same rnn.dot rnn2.dot
expect 0 graph rnn --out sigmoid -o -
same rnn.dot out
expect 0 data reber --count 3 --format text
cp out symbols
expect 0 data reber --count 3 --format text -o -
same symbols out
[ ! -e ./- ] || fail 'a file is named -'
expect 0 graph rnn --view unrolled --steps 2 --hide-const --title 'A < B & "C"'
has out '^digraph '
if command -v dot >/dev/null 2>&1; then
    dot -Tplain rnn.dot >/dev/null 2>err || fail 'dot does not read the diagram'
    expect 0 graph rnn --format svg -o rnn.svg --title 'A < B & "C"'
    well_formed rnn.svg
    expect 0 graph rnn --format svg --title 'A < B & "C"'
    same out rnn.svg
    "$UNROLL" graph rnn --format svg -o closed.svg --title 'A < B & "C"' <&- >&- 2>err || fail 'graph: no stdin, no stdout'
    same closed.svg rnn.svg
fi

# ---- one pass: a model by itself, and its weights with the cell

# numbers FILE COLUMNS: the data of a NumPy file in f8, a row of so many numbers a line
numbers() {
    tail -c +129 "$1" | od -An -v -tf8 | tr -s ' ' '\n' | awk -v columns="$2" '
        NF { printf "%s%.9g%s", n % columns ? " " : "", $1, (n + 1) % columns ? "" : "\n"; n++ }'
}

npy() {
    { printf '\223NUMPY\001\000\166\000'
      printf '%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
      cat; } >"$1"
}
# Five steps of seven numbers in one sequence; the tape's x is what the stream's lines are.
zero='\000\000\000\000\000\000\000\000' one='\000\000\000\000\000\000\360\077'
: >lines
for step in 1 2 3 4 5; do
    for column in 1 2 3 4 5 6 7; do
        if [ $(((step * column) % 3)) -eq 1 ]; then printf "$one"; printf '1 ' >>lines
        else printf "$zero"; printf '0 ' >>lines; fi
    done
    echo >>lines
done | npy X.npy '<f8' '1, 5, 7'
for i in 1 2 3 4 5; do printf "$one$zero$one$zero$one$zero$one"; done | npy Y.npy '<f8' '1, 5, 7'

pass='--input X.npy --target Y.npy --loss bce'
expect 0 run a.safetensors $pass --output O.npy --grad G.safetensors --state-out S.safetensors
empty err
lines out 1
has out '^loss [0-9]+\.[0-9]{10,}$'
loss=$(cat out)
awk '{ digits = $2; gsub(/[^0-9]/, "", digits); sub(/^0+/, "", digits); exit length(digits) < 15 }' out ||
    fail 'run: the loss has less than 17 digits'
expect 0 run rnn --weights a.safetensors --out sigmoid $pass --grad G2.safetensors
[ "$loss" = "$(cat out)" ] || fail 'run: a model and its weights, two losses'
same G.safetensors G2.safetensors
expect 0 info G.safetensors
for name in 'Wi\[7,4\]' 'Wh\[4,4\]' 'bh\[4\]' 'Wo\[4,7\]' 'bo\[7\]' 'x\[1,5,7\]' 'delta\.h\[1,5,4\]' 'delta\.o\[1,5,7\]'; do
    has out "^$name F64$"
done
expect 0 info S.safetensors
has out '^h\[1,4\] F64$'
expect 0 run a.safetensors --input X.npy --state S.safetensors -o O2.npy
! cmp -s O.npy O2.npy || fail 'run: the initial state changes nothing'
expect 0 run a.safetensors --input X.npy --dtype f32 --output O32.npy
expect 0 run a.safetensors --input X.npy --dtype f32 --threads 3 --output O3.npy
same O32.npy O3.npy
[ "$(wc -c <O32.npy)" -eq $((128 + 5 * 7 * 4)) ] || fail 'run: outputs in f32 have another size'

# Gradients go through all steps, though the training cut them.
expect 0 train rnn $small --bptt 2 --quiet --save cut.st
expect 0 run cut.st $pass --grad G.safetensors
expect 0 run rnn --weights cut.st --out sigmoid $pass --grad G2.safetensors
same G.safetensors G2.safetensors
# header FILE JSON: the beginning of a safetensors file, the numbers follow from stdin
header() {
    { printf "\\$(printf %03o $((${#2} % 256)))\\$(printf %03o $((${#2} / 256)))\\0\\0\\0\\0\\0\\0"
      printf %s "$2"
      cat; } >"$1"
}
# The scale of an sLSTM's states may be left out of them: they are as they stand.
expect 0 train slstm --task reber --count 5 --hidden 4 --epochs 1 --quiet --save slstm.st
head -c 96 /dev/zero | header zeros.st '{"h":{"dtype":"F64","shape":[1,4],"data_offsets":[0,32]},"c":{"dtype":"F64","shape":[1,4],"data_offsets":[32,64]},"n":{"dtype":"F64","shape":[1,4],"data_offsets":[64,96]}}'
expect 0 run slstm.st --input X.npy -o O.npy
expect 0 run slstm.st --input X.npy -o O2.npy --state zeros.st
same O.npy O2.npy
expect 0 run a.safetensors --input X.npy -o O.npy
# Two heads of two units, q = 1 in the first one alone: only there does n matter. Its units are listed head by head.
at=0 json='' zeros="$zero$zero$zero$zero" ones="$one$one$one$one"
for tensor in Wq:1,4 Wk:1,4 Wv:1,4 Womega:1,4 bq:4 bk:4 bv:4 bomega:4 Wkappa:1,2 bkappa:2 Wphi:1,2 bphi:2; do
    size=${tensor#*:} end=$((at + 8 * ${tensor##*[:,]}))
    json="$json${json:+,}\"${tensor%:*}\":{\"dtype\":\"F64\",\"shape\":[$size],\"data_offsets\":[$at,$end]}"
    at=$end
done
printf "$zeros$zeros$zeros$zeros$one$one$zero$zero$ones$ones$zeros$zeros$zeros" | header heads.st "{$json}"
printf "$zero" | npy x.npy '<f8' '1, 1, 1'
printf "$zeros" | npy y.npy '<f8' '1, 1, 4'
expect 0 run mlstm --heads 2 --weights heads.st --input x.npy --target y.npy --loss mse --grad heads.grad
begin=$(od -An -tu2 -N2 heads.grad)
first=$(head -c $((begin + 8)) heads.grad | sed 's/.*"delta.n":[^}]*"data_offsets":\[\([0-9]*\).*/\1/')
tail -c +$((begin + 9 + first)) heads.grad | od -An -v -tf8 -N32 | tr -s ' ' '\n' | awk 'NF { print $1 == 0 }' | tr -d '\n' >out
[ "$(cat out)" = 0011 ] || fail "run: delta.n is 0 at the units $(cat out)"
# A learned start, h0 = 1: with Wi = 0, Wh = 1, bh = 0 the outputs are tanh 1, tanh tanh 1.
printf "$zero$one$zero$one" | header learned.st '{"__metadata__":{"cell":"rnn","d":"1","m":"1","p":"0","hidden_activation":"tanh","out":"none","loss":"mse","reduce":"sum","layers":"1","bidirectional":"no","heads":"1","start":"learned","bptt":"0","dropout":"0","recurrent_dropout":"0","dropout_seed":"0","layer_norm":"no","batch_norm":"no","epoch":"0","seed":"1"},"Wi":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},"Wh":{"dtype":"F64","shape":[1,1],"data_offsets":[8,16]},"bh":{"dtype":"F64","shape":[1],"data_offsets":[16,24]},"h0":{"dtype":"F64","shape":[1],"data_offsets":[24,32]}}'
printf "$zero$zero" | npy two.npy '<f8' '1, 2, 1'
expect 0 run learned.st --input two.npy -o learned.npy
[ "$(numbers learned.npy 2)" = '0.761594156 0.642014992' ] || fail "run: a learned start gives $(numbers learned.npy 2)"
# 0 times infinity: no number, and none with a sign.
printf "$zero$zero$zero" | header none.st '{"Wi":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},"Wh":{"dtype":"F64","shape":[1,1],"data_offsets":[8,16]},"bh":{"dtype":"F64","shape":[1],"data_offsets":[16,24]}}'
printf '\000\000\000\000\000\000\360\177' | npy infinite.npy '<f8' '1, 1, 1'
printf "$zero" | npy target.npy '<f8' '1, 1, 1'
expect 0 run rnn --weights none.st --input infinite.npy --target target.npy --loss mse
has out '^loss nan$'
printf '0\n0\n' | "$UNROLL" run learned.st --input - 2>err | awk '{ printf "%.9g ", $1 }' >out
[ "$(cat out)" = '0.761594156 0.642014992 ' ] || fail "run: a stream with a learned start gives $(cat out)"

"$UNROLL" run a.safetensors --input - <lines >streamed 2>err || fail "run: the stream ends with status $?"
empty err
numbers O.npy 7 >whole
awk '{ for (i = 1; i <= NF; i++) $i = sprintf("%.9g", $i); print }' streamed >streamed9
same whole streamed9
# In two parts, the states in a file between them.
head -n 3 lines | "$UNROLL" run a.safetensors --input - --state-out between.st >parts || fail 'run: the first part of a stream'
tail -n +4 lines | "$UNROLL" run a.safetensors --input - --state between.st >>parts || fail 'run: the second part of a stream'
same streamed parts
# An answer comes before the next question: a pipe each way.
mkfifo ask reply
"$UNROLL" run a.safetensors --input - <ask >reply &
child=$!
exec 3>ask 4<reply
head -n 1 lines >&3
[ "$(timeout 20 head -n 1 <&4)" = "$(head -n 1 streamed)" ] || fail 'run: the first answer of the stream is another one'
exec 3>&- 4<&-
wait $child || fail "run: the stream that ends has status $?"

# ---- training options: a training that is broken off and resumed gives the bits of one that was not

for type in f32 f64; do
    learn="--task reber --count 20 --hidden 5 --optim adam --lr 0.01 --batch 6 --shuffle --valid 0.2 --dtype $type --quiet"
    # shellcheck disable=SC2086 # a list of words
    expect 0 train lstm $learn --epochs 8 --schedule cosine --layers 2 --dropout 0.2 --save whole.st
    # shellcheck disable=SC2086
    expect 0 train lstm $learn --epochs 4 --schedule constant --layers 2 --dropout 0.2 --save half.st
    expect 0 train lstm --resume half.st --count 20 --epochs 8 --quiet --save resumed.st
    # shellcheck disable=SC2086
    expect 0 train lstm $learn --epochs 8 --schedule constant --layers 2 --dropout 0.2 --save through.st
    same resumed.st through.st
    ! cmp -s whole.st through.st || fail 'train: another schedule, the same model'
done
has out '^validation loss '
# What a resumed run leaves out is as it was: the data, the number of epochs; its log goes on; 0 switches off.
expect 0 train rnn --task reber --count 9 --min-length 8 --max-length 40 --hidden 4 --epochs 2 --weight-decay 0.1 \
    --save half.st --log half.csv --quiet
expect 0 train rnn --resume half.st --epochs 5 --save resumed.st --log half.csv --quiet
expect 0 train rnn --task reber --count 9 --min-length 8 --max-length 40 --hidden 4 --epochs 5 --weight-decay 0.1 \
    --save through.st --log through.csv --quiet
same resumed.st through.st
same half.csv through.csv
expect 0 train rnn --resume half.st
has err '^2 of 2 epochs are done'
expect 0 train rnn --resume half.st --epochs 3 --weight-decay 0 --save other.st --quiet
expect 0 info other.st
has out '^weight_decay: 0$'
# Another seed is that of the data, their order and the masks, and stands in the model: it goes on as it went.
expect 0 train rnn --task reber --count 9 --hidden 4 --epochs 2 --batch 3 --shuffle --layers 2 --dropout 0.2 \
    --save half.st --quiet
expect 0 train rnn --resume half.st --epochs 4 --seed 5 --save other.st --quiet
for seed in seed shuffle_seed dropout_seed; do
    expect 0 info other.st
    has out "^$seed: 5\$"
done
expect 0 train rnn --resume other.st --epochs 6 --save resumed.st --quiet
expect 0 train rnn --resume half.st --epochs 6 --seed 5 --save through.st --quiet
same resumed.st through.st
# What was learned before a training fails is kept.
learn='--task reber --count 20 --hidden 6 --out identity --loss mse --hidden-activation relu --quiet'
# shellcheck disable=SC2086
expect 2 train rnn $learn --lr 50 --epochs 50 --save last.st --log last.csv
has err '^unroll: epoch [0-9]*: the gradient of .*no parameter was changed$'
has err '^saved last.st: the parameters are those before it$'
has last.csv '^1,'
expect 0 info last.st
# All optimisers and cells that there are: a new one is to pass as well.
expect 0 help train
optims=$(sed -n 's/.*--optim \([a-z|]*\)$/\1/p' out | tr '|' ' ')
[ "$(echo "$optims" | wc -w)" -eq "$(find "$root/optim" -name 'optim_*.c' | wc -l)" ] || fail "--optim $optims"
for optim in $optims; do
    expect 0 train gru --task reber --count 10 --hidden 4 --optim $optim --epochs 20 --lr 0.05 --clip-norm 1 --quiet
done
expect 0 train gated --task reber --count 10 --hidden 4 --epochs 2 --forget-bias 3 --freeze bphi --quiet --save gated.st
expect 0 eval gated.st --count 5
expect 0 help
cells=$(awk '/^[^ ]/ { here = $1 == "Cells:" } here && /^  [^ ]/ { print $1 }' out)
[ "$(echo "$cells" | wc -w)" -eq "$(find "$root/layers" -name 'cell_*.c' | wc -l)" ] || fail "cells $cells"
for cell in $cells; do
    both=--bidirectional
    [ "$cell" != brnn ] || both= # runs in both directions itself
    # shellcheck disable=SC2086
    for kind in "$both --layer-norm --size d=2 --size m=4" "--batch-norm --dropout 0.3 $both --size m=3" \
        "$both --layer-norm --order 2 --size d=2 --size m=3"; do
        expect 0 gradcheck "$cell" --layers 2 $kind
    done
    expect 0 gradcheck "$cell" --heads 1 --out softmax --loss ce --order 2 --size m=2
done
learn='--task reber --count 20 --hidden 5 --batch-norm --dropout 0.2 --layers 2 --lr 0.5 --quiet'
# shellcheck disable=SC2086
expect 0 train gru $learn --epochs 4 --save half.st
expect 0 train gru --resume half.st --count 20 --epochs 8 --quiet --save resumed.st
# shellcheck disable=SC2086
expect 0 train gru $learn --epochs 8 --save through.st
same resumed.st through.st
expect 0 info through.st
has out '^average.layer1.variance\[5\] F32$'
expect 0 eval through.st --count 5
expect 0 gradcheck slstm --heads 2
# Cells without heads have one, and their own activation.
learn='--task reber --count 5 --hidden 5 --epochs 1 --quiet'
# shellcheck disable=SC2086
expect 0 train lstm $learn --heads 1 --hidden-activation tanh --save a.st
# shellcheck disable=SC2086
expect 0 train lstm $learn --save b.st
same a.st b.st
# shellcheck disable=SC2086
expect 2 train slstm $learn --heads 2
has err '^unroll: slstm: 5 hidden units cannot be divided into 2 heads$'
expect 0 gradcheck mlstm --heads 2

# ---- classes, and outputs of both directions

sequence() { printf "$zero$one$zero"; for class in "$@"; do printf "\\$class\\0\\0\\0\\0\\0\\0\\0"; done; }
classes='{"x":{"dtype":"F64","shape":[1,3,1],"data_offsets":[0,24]},"y":{"dtype":"I64","shape":[1,3],"data_offsets":[24,48]}}'
sequence 0 1 2 | header three.st "$classes"
sequence 0 1 1 | header two.st "$classes" # as many classes as the model knows, though the largest does not occur
expect 0 train rnn --data three.st --hidden 2 --out softmax --epochs 2 --quiet --save classes.st
expect 0 eval classes.st --data two.st
has out '^wrong positions [0-3] of 3$'
expect 0 train rnn --resume classes.st --data two.st --epochs 3 --quiet
head -c 24 /dev/zero | header both.st '{"x":{"dtype":"F64","shape":[1,1,1],"data_offsets":[0,8]},"y":{"dtype":"F64","shape":[1,1,2],"data_offsets":[8,24]}}'
expect 0 train rnn --data both.st --bidirectional --hidden 1 --epochs 1 --quiet
expect 0 train brnn --data both.st --epochs 1 --quiet

# ---- an update after every few steps

learn='--task reber --count 20 --hidden 5 --optim adam --lr 0.01 --batch 6 --shuffle --valid 0.2 --quiet'
# shellcheck disable=SC2086
expect 2 train lstm $learn --stateful
has err '^unroll: --stateful: --bptt K was expected'
# shellcheck disable=SC2086
expect 2 train lstm $learn --stateful --bptt 8 --bidirectional
has err 'runs in both directions'
# shellcheck disable=SC2086
expect 0 train lstm $learn --stateful --bptt 8 --epochs 3 --save half.st
has out '^wrong sequences [0-9]+ of 16$'
expect 0 train lstm --resume half.st --count 20 --epochs 6 --quiet --save resumed.st
# shellcheck disable=SC2086
expect 0 train lstm $learn --stateful --bptt 8 --epochs 6 --save through.st
same resumed.st through.st
expect 0 info through.st
has out '^stateful: yes$'
expect 0 eval through.st --count 5
# shellcheck disable=SC2086
expect 0 train lstm $learn --bptt 8 --epochs 6 --save whole.st
! cmp -s whole.st through.st || fail 'train: --stateful changes nothing'

exit $failed
