#!/bin/sh
# The lecture's experiment by ten seeds: at least eight end without a wrong position in training and on fresh sequences.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
good=0
for seed in 1 2 3 4 5 6 7 8 9 10; do
    model=$folder/$seed.safetensors
    trained=$("$UNROLL" train rnn --task reber --hidden 4 --lr 1 --reduce mean --epochs 10000 --until-zero-errors \
        --seed $seed --save "$model" --quiet | sed -n 's/^wrong positions \([0-9]*\) .*/\1/p')
    tested=$("$UNROLL" eval "$model" | sed -n 's/^wrong positions \([0-9]*\) .*/\1/p')
    echo "seed $seed: $trained wrong positions in training, $tested in 100 fresh sequences"
    if [ "$trained" = 0 ] && [ "$tested" = 0 ]; then good=$((good + 1)); fi
done
echo "$good of 10 seeds without an error"
[ "$good" -ge 8 ]
