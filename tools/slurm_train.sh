#!/usr/bin/env bash
# Train on a Slurm cluster.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
#
# GPUS counts the processes of all nodes together, one for each GPU; GPUS_PER_NODE=0 asks for none and runs them on CPUs.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 PORT=29500 SRUN_ARGS= PYTHON=python]" \
        "$0 PARTITION JOB_NAME CONFIG WORK_DIR [ARGUMENTS]" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
partition=$1
job=$2
config=$3
work_dir=$4
shift 4

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
placement=()
if [ "$gpus_per_node" -gt 0 ]; then
    placement=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
fi

# Works from a checkout that is not installed, too.
export PYTHONPATH="${tools%/*}${PYTHONPATH:+:$PYTHONPATH}"
export MASTER_PORT="${PORT:-29500}"
# SRUN_ARGS holds several arguments, so it is split at spaces.
# shellcheck disable=SC2086
exec srun -p "$partition" --job-name="$job" "${placement[@]}" \
    --ntasks="$gpus" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@"
