#!/usr/bin/env bash
# The whole recipe: data, tokenizers, base, student, scores. Killed, it continues when it is started again.
#   pip install -e ".[openmoji]" && bash recipes/openmoji/run.sh
# Further options go to each training, such as -c configs/hardware/single_gpu.yaml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

own=recipes/own_pictures here=recipes/openmoji data=data/openmoji runs=runs/openmoji

python $here/make_data.py --output $data
showo-turbo train-text-tokenizer $data/tokenizer.json --size 1500 \
    --captions.images $data/pictures --captions.annotations $data/train.json --overwrite

for step in image_tokenizer base; do
    showo-turbo fit -c $own/$step.yaml -c $here/$step.yaml --resume auto "$@"
    showo-turbo export $runs/$step/checkpoints/last.ckpt $runs/$step/model --overwrite
done
showo-turbo fit -c $own/student.yaml -c $here/student.yaml --resume auto "$@"

python $here/score.py --base $runs/base/model --student $runs/student/student --output benchmarks/results/openmoji
showo-turbo report $runs/student
