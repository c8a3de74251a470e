"""Starting a run as one process or as several."""

import gc
import os
import subprocess
from datetime import timedelta

import torch
from mmengine.dist import init_dist, is_distributed

# Others wait while one process fills the gallery of a large archive or another run trains a shared stage.
PATIENCE = timedelta(hours=24)
LAUNCHERS = ('none', 'pytorch', 'slurm')
VARIABLES = dict(pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'),
                 slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID', 'SLURM_NODELIST'))
STARTERS = dict(pytorch='tools/dist_train.sh or tools/dist_test.sh, which call torchrun',
                slurm='tools/slurm_train.sh or tools/slurm_test.sh, which call srun')


def add_launcher(parser):
    """Add ``--launcher`` and torchrun's ``--local-rank`` to an argument parser."""
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how several processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def setup_launcher(launcher):
    """Join the other processes of a distributed run; on a machine without GPUs they talk through gloo.

    Args:
        launcher (str): One of 'none', 'pytorch' (torchrun) and 'slurm'.

    Returns:
        dict: Keys of a runner's config that go with it.

    Raises:
        ValueError: If the launcher did not start this process.
    """
    if launcher == 'none':
        return {}
    gpu = torch.cuda.is_available()
    if not is_distributed():
        absent = [name for name in VARIABLES[launcher] if name not in os.environ]
        if absent:
            raise ValueError(f"--launcher {launcher}: this process was not started by it, as {', '.join(absent)} "
                             f'{"is" if len(absent) == 1 else "are"} not set. Start with {STARTERS[launcher]}; for one '
                             'process leave --launcher out.')
        if gpu:
            init_dist(launcher, backend='nccl', timeout=PATIENCE.total_seconds())
        else:
            if launcher == 'slurm':
                os.environ.setdefault('RANK', os.environ['SLURM_PROCID'])
                os.environ.setdefault('WORLD_SIZE', os.environ['SLURM_NTASKS'])
                os.environ.setdefault('LOCAL_RANK', os.environ['SLURM_LOCALID'])
                os.environ.setdefault('MASTER_ADDR', _first_host(os.environ['SLURM_NODELIST']))
                os.environ.setdefault('MASTER_PORT', '29500')  # as mmengine does where there are GPUs
            torch.distributed.init_process_group(backend='gloo', timeout=PATIENCE)
    if gpu:
        return dict(launcher=launcher)
    # mmengine's own default names a GPU for each process, which a model on the CPU must not have.
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    return dict(launcher=launcher, model_wrapper_cfg=wrapper)


def leave_launcher():
    """Part from the other processes at the end.

    gloo's threads let go of the last tensors that were sent after the caller has gone on; should Python end meanwhile,
    the process aborts. They end with the group, and the group with the last parallel model that refers to it.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()



def _first_host(nodes):
    return subprocess.run(['scontrol', 'show', 'hostname', nodes], capture_output=True, text=True,
                          check=True).stdout.split()[0]
