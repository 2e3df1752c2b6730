#!/bin/sh
# Wrong command lines and wrong files: each ends in one line `unroll: WHERE: what is wrong and what was expected` on
# stderr, with nothing on stdout and exit status 2, and every file stays as it was. The lines stand in
# tests/golden/mistakes.txt and were reviewed; UPDATE_GOLDEN=1 writes them anew, to be reviewed again.
set -u

golden=$PWD/tests/golden/mistakes.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/files" && cd "$scratch/files" || exit 1
LC_ALL=C
export LC_ALL
failed=0

# ---- fixtures

zeros() { head -c "$1" /dev/zero; }

# npy FILE DTYPE SHAPE: the header of a NumPy file, the data from stdin
npy() {
    { printf '\223NUMPY\001\000\166\000'
      printf '%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
      cat; } >"$1"
}

# tensors FILE NAME:SHAPE ...: a safetensors file of zeros in f64
tensors() {
    file=$1 json='' at=0
    shift
    for tensor in "$@"; do
        size=${tensor#*:}
        end=$((at + 8 * $(echo "$size" | tr , '*')))
        json="$json${json:+,}\"${tensor%%:*}\":{\"dtype\":\"F64\",\"shape\":[$size],\"data_offsets\":[$at,$end]}"
        at=$end
    done
    raw "$file" "{$json}" "$at"
}

# raw FILE JSON BYTES: a safetensors file with this header and so many bytes of zeros
raw() {
    { printf "\\$(printf %03o $((${#2} % 256)))\\$(printf %03o $((${#2} / 256)))\\0\\0\\0\\0\\0\\0"
      printf %s "$2"
      zeros "$3"; } >"$1"
}

one='\000\000\000\000\000\000\360\077'
long=$(printf %0200d 0)/$(printf %0200d 0)/$(printf %0200d 0)
mkdir folder
mkdir -p "$long"
echo junk >"$long/w.st"
: >empty
echo text >text
zeros 48 | npy X.npy '<f8' '1, 2, 3'
zeros 32 | npy X2.npy '<f8' '1, 2, 2'
zeros 64 | npy Y4.npy '<f8' '1, 2, 4'
zeros 80 | npy Y5.npy '<f8' '1, 2, 5'
zeros 24 | npy flat.npy '<f8' 3,
zeros 12 | npy half.npy '<f2' '1, 2, 3'
zeros 40 | npy short.npy '<f8' '1, 2, 3'
zeros 0 | npy none.npy '<f8' '0, 2, 3'
zeros 64 | npy huge.npy '<f8' '4611686018427387904, 4611686018427387904, 2'
head -c 40 X.npy >cut.npy
printf '\002\000\000\000\000\000\000\000' | npy L.npy '<i8' 1,
printf '\011\000\000\000\000\000\000\000' | npy L9.npy '<i8' 1,
printf '\377\377\377\377\377\377\377\377' | npy L-1.npy '<i8' 1,
printf "$one" | npy Lf.npy '<f8' 1,
zeros 16 | npy L2.npy '<i8' 2,
printf '\007\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000' | npy C7.npy '<i8' '1, 2'
zeros 24 | npy F3.npy '<f8' '1, 3'
tensors W.safetensors Wi:3,4 Wh:4,4 bh:4
tensors Wo.safetensors Wi:3,4 Wh:4,4 bh:4 Wo:4,2 bo:2
tensors less.safetensors Wi:3,4 Wh:4,4
tensors vector.safetensors Wi:3,4 Wh:4,4 bh:4 Wo:4,2 bo:1,2
tensors nothing.safetensors Wi:3,0 Wh:0,0 bh:0
tensors more.safetensors Wi:3,4 Wh:4,4 bh:4 extra:2
tensors shape.safetensors Wi:3,4 Wh:4,5 bh:4
raw half.safetensors '{"Wi":{"dtype":"F16","shape":[3,4],"data_offsets":[0,24]},"Wh":{"dtype":"F64","shape":[4,4],"data_offsets":[24,152]},"bh":{"dtype":"F64","shape":[4],"data_offsets":[152,184]}}' 184
raw hole.safetensors '{"Wi":{"dtype":"F64","shape":[1],"data_offsets":[8,16]}}' 16
raw json.safetensors '{"Wi":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}' 8
head -c 200 W.safetensors >cut.safetensors
tensors brnn.safetensors Wih:3,4 Wh:4,4 bh:4 Wib:3,4 Wb:4,4 bb:4
tensors S.safetensors h:1,5
tensors x.safetensors x:1,2,3
tensors xy.safetensors x:1,2,3 y:1,2,4
tensors misspelt.safetensors x:1,2,3 Y:1,2,4
tensors steps.safetensors x:1,2,3 y:1,3,4
{ head -c -8 xy.safetensors; printf '\0\0\0\0\0\0\370\177'; } >nan.safetensors
tensors S2.safetensors h:1,4 junk:2
# last FILE: a data set with x[1,2,3], weight[1,2] and y[1,4] for the last step, its numbers in f64 from stdin
last() {
    raw "$1" '{"x":{"dtype":"F64","shape":[1,2,3],"data_offsets":[0,48]},"weight":{"dtype":"F64","shape":[1,2],"data_offsets":[48,64]},"y":{"dtype":"F64","shape":[1,4],"data_offsets":[64,96]}}' 0
    cat >>"$1"
}
nan='\0\0\0\0\0\0\370\177'
{ zeros 88; printf "$nan"; } | last nan_y.safetensors
{ zeros 56; printf "$nan"; zeros 32; } | last nan_weight.safetensors
{ zeros 48; printf '\0\0\0\0\0\0\360\277'; zeros 40; } | last below.safetensors
{ zeros 72; printf '\0\0\0\0\0\0\0\100'; zeros 16; } | last two.safetensors
{ zeros 72; printf '\0\0\0\0\0\0\360\277'; zeros 16; } | last minus.safetensors
printf 'epoch,loss\n' >log.csv
printf 'epoch,loss,wrong_positions,positions,wrong_sequences,sequences\n1,two,3,4,5,6\n' >log2.csv
raw long.safetensors '{"x":{"dtype":"F64","shape":[1,1,1],"data_offsets":[0,8]},"y":{"dtype":"F64","shape":[1,1,1],"data_offsets":[8,16]},"lengths":{"dtype":"F64","shape":[1],"data_offsets":[16,24]}}' 24
"$UNROLL" train rnn --task reber --count 2 --hidden 2 --epochs 1 --save M.safetensors --quiet >/dev/null || exit 1
# Models with other metadata, of the same lengths.
"$UNROLL" train rnn --task reber --count 2 --hidden 2 --valid 0.5 --freeze bh --epochs 1 --save M2.safetensors --quiet \
    >/dev/null || exit 1
edited() { sed "s/\"$2\":\"[^\"]*\"/\"$2\":\"$3\"/" M2.safetensors >"$1.safetensors"; }
edited format format 'unroll model 2'
edited rate lr -0.1000000000000001
edited momentum momentum 1.90000000000000000
edited clip clip_norm x
edited dropout dropout 2
edited valid valid 0.1
edited freeze freeze bx
edited patience patience 7
raw strange.safetensors '{"__metadata__":{"cell":"nrr","d":"1","m":"1","p":"0","hidden_activation":"tanh","out":"none","loss":"mse","reduce":"sum","epoch":"0","seed":"1"},"Wi":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]}}' 8

state() { ls -lA . folder; cksum ./*.* text empty; }
state >../before

# ---- the check

# wrong WORD ...: runs `unroll WORD ...` with what stdin holds
wrong() {
    "$UNROLL" "$@" >../out 2>../err
    judge $? "unroll $*"
}

judge() {
    printf '$ %s\n' "$2" >>../seen
    cat ../err >>../seen
    trouble=
    [ "$1" -eq 2 ] || trouble="exit status $1, expected 2"
    [ "$(wc -l <../err)" -eq 1 ] || trouble="more or less than one line on stderr"
    grep -q '^unroll: ' ../err || trouble="the line does not begin with unroll:"
    [ ! -s ../out ] || trouble="something on stdout"
    state >../after
    cmp -s ../before ../after || trouble="a file came, went or changed"
    [ -z "$trouble" ] || { failed=1; printf '%s: %s\n' "$2" "$trouble"; cat ../err; }
}

part() { printf '\n# %s\n' "$1" >>../seen; }

exec </dev/null

part 'commands'
wrong
wrong tarin
wrong --hlep
wrong foo
wrong --quiet train
wrong help tarin
wrong help train eval
wrong --version 2

part 'arguments and options'
wrong train
wrong train ''
wrong train rnn lstm
wrong lecture rnn
wrong train rn --task reber
wrong train nosuchcell --task reber
wrong train M.safetensors --task reber
wrong train folder --task reber
wrong train rnn --hiden 4
wrong train rnn --hid 4
wrong train rnn --nonsense
wrong train rnn -h
wrong train rnn --input X.npy
wrong eval M.safetensors --lr 1
wrong info W.safetensors --hidden 4
wrong train rnn --quiet=yes
wrong train rnn --lr
wrong train rnn --save ''
wrong info
wrong info --cpu W.safetensors
wrong gradcheck -- --strict

part 'values'
wrong train rnn --task reber --hidden 0
wrong train rnn --task reber --hidden -3
wrong train rnn --task reber --hidden four
wrong train rnn --task reber --hidden 2.5
wrong train rnn --task reber --hidden 1000000000000
wrong train rnn --task reber --hidden 99999999999999999999999999
wrong train rnn --task reber --lr nan
wrong train rnn --task reber --lr 0
wrong train rnn --task reber --lr -1
wrong train rnn --task reber --lr inf
wrong train rnn --task reber --lr 0.1x
wrong train rnn --task reber --batch 0
wrong train rnn --task reber --epochs -1
wrong train rnn --task reber --threads 0
wrong train rnn --task reber --memory 0
wrong train rnn --task reber --memory 10K
wrong train rnn --task reber --count 5 --hidden 3 --valid 0.1
wrong train rnn --task reber --count 5 --hidden 3 --schedule cosine --epochs 0
wrong train rnn --task reber --count 5 --hidden 3 --freeze bx
wrong train rnn --task reber --count 5 --hidden 3 --freeze Wi,Wh,bh,Wo,bo
wrong train rnn --task reber --seed -1
wrong train rnn --task reber --out sigmod
wrong train rnn --task reber --loss bec
wrong train rnn --task reber --dtype f16
wrong train rnn --task rebr
wrong train rnn --task nosuchtask
wrong data nosuchtask -o new
wrong data reber --count 0 --format text
wrong data reber --min-length 9 --max-length 5 --format text
wrong data reber --max-length 20 --format text
wrong data reber --min-length 1 --max-length 4 --format text
wrong data reber --min-length 5000 --format text
wrong gradcheck rnn --order 3
wrong gradcheck rnn --tolerance 0
wrong gradcheck rnn --dtype f32
wrong gradcheck rnn --format svg
wrong graph rnn --steps 0
wrong graph rnn --format gif
wrong eval M.safetensors --require -1

part 'options that do not go together'
wrong train rnn
wrong train rnn --task reber
wrong train rnn --task reber --data xy.safetensors --hidden 4
wrong train rnn --data xy.safetensors --count 3 --hidden 4
wrong eval M.safetensors --data xy.safetensors --min-length 3
wrong train rnn --data xy.safetensors --hidden 5
wrong train rnn --data xy.safetensors --hidden 4 --bidirectional
wrong train brnn --data xy.safetensors --size m=3
wrong train rnn --data xy.safetensors --hidden 4 --size m=3
wrong train rnn --data nan.safetensors
wrong train rnn --data nan_y.safetensors
wrong train rnn --data nan_weight.safetensors
wrong train rnn --data below.safetensors
wrong train rnn --data two.safetensors --hidden 3 --out sigmoid --loss bce
wrong train rnn --data minus.safetensors --hidden 3 --out softmax --loss ce
wrong train rnn --task reber --hidden 4 --forget-bias 3
wrong train rnn --task reber --hidden 4 --patience 3
wrong train rnn --task reber --hidden 4 --schedule plateau
wrong train rnn --task reber --hidden 4 --optim adam --momentum 0.5
wrong train rnn --task reber --hidden 4 --optim sdg
wrong train rnn --resume M.safetensors --hidden 2
wrong train rnn --resume M.safetensors --dropout 0.1
wrong train rnn --resume M.safetensors --batch-norm
wrong train rnn --resume M.safetensors --forget-bias 1
wrong train gru --resume M.safetensors
wrong train rnn --resume M.safetensors --data xy.safetensors
wrong train rnn --resume M.safetensors --epochs 2 --log log.csv
wrong train rnn --resume M.safetensors --epochs 2 --log log2.csv
wrong train rnn --resume rate.safetensors
wrong train rnn --resume momentum.safetensors
wrong train rnn --resume clip.safetensors
wrong train rnn --resume dropout.safetensors
wrong train rnn --resume valid.safetensors
wrong train rnn --resume M2.safetensors --valid 0.1
wrong train rnn --resume freeze.safetensors
wrong train rnn --resume M2.safetensors --freeze bx
wrong train rnn --resume patience.safetensors --valid 0
wrong eval format.safetensors
wrong train rnn --task reber --hidden 4 --heads 2
wrong train lstm --task reber --hidden 4 --hidden-activation relu
wrong gradcheck mlstm --hidden-activation relu
wrong train lstm --task reber --hidden 4 --dropout 0.5
wrong run M.safetensors --input X.npy --output new --dropout 0.5
wrong run M.safetensors --input X.npy --output new --heads 2
wrong train rnn --data xy.safetensors --loss bce
wrong train rnn --task reber --hidden 4 --out tanh
wrong gradcheck rnn --loss ce
wrong graph rnn --loss bce
wrong train rnn --task reber --hidden 4 --save new --log new
wrong train rnn --task reber --hidden 4 --save new --log folder/../new
wrong train rnn --data xy.safetensors --save folder/../xy.safetensors
wrong train rnn --resume M.safetensors --log M.safetensors
wrong run M.safetensors --input X.npy --output M.safetensors
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss mse --grad W.safetensors
wrong data reber
wrong run rnn --weights W.safetensors
wrong run rnn --weights W.safetensors --input X.npy
wrong run rnn --input X.npy --output new
wrong run M.safetensors --weights W.safetensors --input X.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --output new --grad new2
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy
wrong run rnn --weights W.safetensors --input X.npy --output new --loss mse
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss bce
wrong run rnn --weights W.safetensors --input X.npy --output new --size m=5
wrong run rnn --weights W.safetensors --input X.npy --output new --size d=4
wrong run rnn --weights W.safetensors --input X.npy --output new --size q=4
wrong run rnn --weights W.safetensors --input X.npy --output new --state S2.safetensors
wrong run rnn --weights W.safetensors --input X.npy --output new --weight F3.npy
wrong run rnn --weights W.safetensors --input - --output new
wrong run rnn --weights W.safetensors --input X.npy --output new --hidden 5
wrong run rnn --weights Wo.safetensors --input X.npy --output new

part 'arrays in files'
wrong run rnn --weights W.safetensors --input nosuchfile.npy --output new
wrong run rnn --weights W.safetensors --input folder --output new
wrong run rnn --weights W.safetensors --input empty --output new
wrong run rnn --weights W.safetensors --input text --output new
wrong run rnn --weights W.safetensors --input cut.npy --output new
wrong run rnn --weights W.safetensors --input short.npy --output new
wrong run rnn --weights W.safetensors --input half.npy --output new
wrong run rnn --weights W.safetensors --input flat.npy --output new
wrong run rnn --weights W.safetensors --input none.npy --output new
wrong run rnn --weights W.safetensors --input huge.npy --output new
wrong run rnn --weights W.safetensors --input X2.npy --output new
wrong run rnn --weights W.safetensors --input W.safetensors --output new
wrong run M.safetensors --input X.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --lengths L9.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --lengths L-1.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --lengths L2.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --lengths Lf.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --target Y5.npy --loss mse
wrong run rnn --weights Wo.safetensors --out softmax --input X.npy --target C7.npy --loss ce
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss mse --weight F3.npy

part 'weights, models and data in files'
wrong run rnn --weights nosuchfile --input X.npy --output new
wrong run rnn --weights folder --input X.npy --output new
wrong run rnn --weights empty --input X.npy --output new
wrong run rnn --weights text --input X.npy --output new
wrong run rnn --weights cut.safetensors --input X.npy --output new
wrong run rnn --weights X.npy --input X.npy --output new
wrong run rnn --weights hole.safetensors --input X.npy --output new
wrong run rnn --weights json.safetensors --input X.npy --output new
wrong run rnn --weights half.safetensors --input X.npy --output new
wrong run rnn --weights less.safetensors --input X.npy --output new
wrong run rnn --weights more.safetensors --input X.npy --output new
wrong run rnn --weights shape.safetensors --input X.npy --output new
wrong run rnn --weights W.safetensors --out softmax --input X.npy --output new
wrong run rnn --weights vector.safetensors --out softmax --input X.npy --output new
wrong run rnn --weights nothing.safetensors --input X.npy --output new
wrong run lstm --weights W.safetensors --input X.npy --output new
wrong run rnn --weights W.safetensors --input X.npy --output new --state S.safetensors
wrong run rnn --weights W.safetensors --input X.npy --output new --state W.safetensors
wrong run nosuchcell --input X.npy --output new
wrong run nosuchfile.safetensors --input X.npy --output new
wrong eval nosuchfile.safetensors
wrong eval rnn
wrong eval W.safetensors
wrong eval xy.safetensors
wrong eval strange.safetensors
wrong eval M.safetensors --data xy.safetensors
wrong eval M.safetensors --data M.safetensors
wrong train rnn --data nosuchfile
wrong train rnn --data M.safetensors
wrong train rnn --data X.npy
wrong train rnn --data x.safetensors
wrong train rnn --data misspelt.safetensors
wrong train rnn --data steps.safetensors
wrong train rnn --data long.safetensors
wrong info nosuchfile
wrong info folder
wrong info cut.safetensors

# The line has room for the reason, whatever the path takes.
part 'long paths'
"$UNROLL" info "$long/w.st" >../out 2>../err
judge $? 'unroll info LONG/w.st'
"$UNROLL" data reber -o "$long/nosuchfolder/D.st" >../out 2>../err
judge $? 'unroll data reber -o LONG/nosuchfolder/D.st'

part 'files that cannot be written'
wrong train rnn --task reber --hidden 4 --save folder
wrong train rnn --task reber --hidden 4 --log nosuchfolder/run.csv
wrong train rnn --task reber --hidden 4 --save -
wrong run rnn --weights W.safetensors --input X.npy --output -
wrong data reber -o -
wrong train rnn --task reber --hidden 4 --plot text/loss.svg
wrong data reber -o nosuchfolder/D.safetensors
wrong data reber --format text -o folder
wrong graph rnn -o text/rnn.dot
wrong graph rnn --format svg -o nosuchfolder/rnn.svg
wrong run rnn --weights W.safetensors --input X.npy --output folder
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss mse --output new --grad text/G
wrong run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss mse --output X2.npy --grad text/G
wrong data reber --min-length 1 --max-length 4 -o xy.safetensors
(ulimit -f 1000 && exec "$UNROLL" data reber --count 4000 -o new) >../out 2>../err
judge $? '(ulimit -f 1000; unroll data reber --count 4000 -o new)'

# A device takes what is written until it is full, and a reader may leave.
full() {
    "$UNROLL" "$@" 2>../err >/dev/full
    status=$?
    : >../out
    judge $status "unroll $* >/dev/full"
}
part 'results that nobody can read'
if [ -c /dev/full ]; then
    full help
    full help ops
    wrong data reber -o /dev/full
    full data reber --format text
    full graph rnn
    full run rnn --weights W.safetensors --input X.npy --target Y4.npy --loss mse
else
    sed -n '/\/dev\/full$/{p;n;p;}' "$golden" >>../seen
fi
{ { "$UNROLL" data reber --count 4000 --format text 2>../err; echo $? >../status; } | head -n 1 >/dev/null; }
: >../out
judge "$(cat ../status)" 'unroll data reber --count 4000 --format text | head -n 1'
"$UNROLL" help >&- 2>../err
judge $? 'unroll help >&-'

# stream ANSWERS TEXT: the lines of --input -, with the escapes of printf, of which so many are answered
stream() {
    printf "$2" | "$UNROLL" run rnn --weights W.safetensors --input - >../out 2>../err
    status=$?
    [ "$(wc -l <../out)" -eq "$1" ] || { failed=1; printf '%s: not %s answers but\n' "$2" "$1"; cat ../out; }
    : >../out
    judge $status "printf '$2' | unroll run rnn --weights W.safetensors --input -"
}
part 'lines of a stream; the lines before have their answers'
stream 0 '1 2\n'
stream 1 '1 2 3\n1 2\n'
stream 1 '1 2 3\n1 2 3 4\n'
stream 1 '1 2 3\n1 two 3\n'
stream 1 '1 2 3\n\n1 2 3\n'
stream 0 '\n'
stream 0 '1;2;3\n'
stream 0 '1 2 3x\n'
stream 1 '1 2 3\n1 2 3\0 4\n'
wrong run rnn --weights W.safetensors --input - <folder
wrong run rnn --weights W.safetensors --input - --state-out new </dev/null
printf '1 2 3\n' | wrong run rnn --weights W.safetensors --input - --size d=2
printf '1 2 3\n' | wrong run rnn --weights W.safetensors --input - --state W.safetensors
printf '1 2 3\n' | wrong run M.safetensors --input -
wrong run brnn --weights brnn.safetensors --input -

# ---- the texts

grep -c '^\$' ../seen | sed 's/$/ mistakes/'
if [ "${UPDATE_GOLDEN:-0}" = 1 ]; then
    sed 1d ../seen >"$golden"
    exit 0
fi
sed 1d ../seen >../texts
diff "$golden" ../texts || failed=1
exit $failed
