#!/usr/bin/env bash
# Test on several GPUs, or on a machine without any in several processes.
#
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [arguments of tools/test.py]
#
# Several machines: run it on each with the same NNODES, MASTER_ADDR and PORT and with its own NODE_RANK.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: [NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=29500 PYTHON=python]" \
        "$0 CONFIG CHECKPOINT PROCESSES [ARGUMENTS]" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
config=$1
checkpoint=$2
processes=$3
shift 3

# Works from a checkout that is not installed, too.
export PYTHONPATH="${tools%/*}${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
