#!/usr/bin/env bash
# Makes the demo model's weights in the same way as those in the repository: five trainings, each
# continuing the previous one. `training/weights.sh DIR [GPUS]` writes the model to DIR/fifth/model.
# It has not been run as a whole; training/README.md says how it differs from what was run.
set -Eeuo pipefail

if [[ $# -lt 1 || $# -gt 2 ]]; then
  echo "usage: training/weights.sh DIR [GPUS]   (GPUS: 1, 2 or 4; default: all of this machine)" >&2
  exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python
[[ -x $python ]] || python=python3 # a machine whose own Python has torch and diffusers
gpus=${2:-$("$python" -c 'import torch; print(torch.cuda.device_count())')}
if [[ ! $gpus =~ ^[124]$ ]]; then
  echo "weights.sh divides the prompts of a step among 1, 2 or 4 GPUs; $gpus were given or found." >&2
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"

train() { # name prompts-per-step decoded arguments...
  local name=$1 batch=$2 decoded=$3
  shift 3
  "$python" -m torch.distributed.run --standalone --nproc_per_node "$gpus" -m training.train \
    --out "$out/$name" --batch $((batch / gpus)) --decoded $((decoded / gpus)) --workers 16 "$@"
}

train first 192 64 --seed 0 --steps 12000 --prompts 1000000 --keep 0.999 --rectangles 0
train second 192 80 --init "$out/first" --seed 1 --steps 12000 --prompts 1500000 \
  --rate 1.5e-3 --warm-steps 500 --keep 0.9995 --rectangles 0
train third 192 80 --init "$out/second" --seed 2 --steps 14800 --prompts 1000000 \
  --rate 1e-3 --warm-steps 300 --keep 0.9995 --rectangles 0
# From the folder of the model, so that the auxiliary heads start untrained, as they did then.
train fourth 160 64 --init "$out/third/model" --seed 10 --steps 11000 --prompts 600000 \
  --rate 1.5e-3 --warm-steps 300 --keep 0.9995
train fifth 160 64 --init "$out/fourth" --seed 11 --steps 11400 --prompts 600000 \
  --rate 1.2e-3 --warm-steps 300 --keep 0.9995
echo "The weights are in $out/fifth/model."
