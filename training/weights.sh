#!/usr/bin/env bash
# Makes the demo model's weights in the same way as those in the repository: three trainings, each
# continuing the previous one. `training/weights.sh DIR [GPUS]` writes the model to DIR/third/model.
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
  echo "weights.sh divides 192 prompts per step among 1, 2 or 4 GPUs; $gpus were given or found." >&2
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$root"

train() { # name decoded arguments...
  local name=$1 decoded=$2
  shift 2
  "$python" -m torch.distributed.run --standalone --nproc_per_node "$gpus" -m training.train \
    --out "$out/$name" --batch $((192 / gpus)) --decoded $((decoded / gpus)) --workers 16 "$@"
}

train first 64 --seed 0 --steps 12000 --prompts 1000000 --keep 0.999
train second 80 --init "$out/first" --seed 1 --steps 12000 --prompts 1500000 \
  --rate 1.5e-3 --warm-steps 500 --keep 0.9995
train third 80 --init "$out/second" --seed 2 --steps 14800 --prompts 1000000 \
  --rate 1e-3 --warm-steps 300 --keep 0.9995
echo "The weights are in $out/third/model."
