"""Two processes (gloo) give the metrics of one."""

import json

import pytest
import torch

from rstoolbox.models import load_state

# Batch statistics are those of one process, so a network without them is compared.
SAME = """
_base_ = '{base}'
group_norm = dict(type='GN', num_groups=4)
teacher = dict(backbone=dict(norm_cfg=group_norm))
student = dict(backbone=dict(norm_cfg=group_norm))
batch_size = {batch}
# With channels innermost a convolution rounds by the size of its batch, and of two values that are equal but for that
# the other one may get the gradient of a pooling.
channels_last = False
# Plain gradient steps: Adam's division makes noise of rounding as large as a step.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.05))
rows = dict(_delete_=True)
artifacts = dict({artifacts})
"""


def test_training_and_testing_on_two_processes(tiny_config, run_tool, tmp_path):
    results, artifacts = {}, {}
    torchrun = ('-m', 'torch.distributed.run', '--nproc_per_node', '2', '--master_port', '29671')
    for processes in (1, 2):
        config = tmp_path / f'on_{processes}.py'
        config.write_text(SAME.format(base=tiny_config, batch=8 // processes, artifacts=artifacts))
        launcher = torchrun if processes == 2 else ()
        options = ('--launcher', 'pytorch') if processes == 2 else ()
        run_tool('train.py', config, '--work-dir', tmp_path / str(processes), *options, launcher=launcher)
        results[processes] = json.loads((tmp_path / str(processes) / 'summary.json').read_text())
        if processes == 1:  # both students learn from the same stages
            artifacts = {path.parent.name.split('-')[0]: json.loads(path.read_text())['artifact']
                         for path in (tmp_path / '1/stages').glob('*/stage.json')}
            assert len(artifacts) == 4
        scalars = [json.loads(line) for path in (tmp_path / str(processes)).glob('*/vis_data/scalars.json')
                   for line in path.read_text().splitlines()]
        results[processes]['val'] = [line['accuracy'] for line in scalars if 'accuracy' in line]
        weights = load_state(tmp_path / str(processes) / 'epoch_3.pth')['state_dict']
        results[processes]['weights'] = {key: value for key, value in weights.items() if key.startswith('student.')}
    for key, value in results[1]['weights'].items():
        assert torch.allclose(results[2]['weights'][key], value, rtol=0, atol=1e-4), key
    assert results[1]['sembridge'] == pytest.approx(results[2]['sembridge'])
    assert results[1]['val'] == pytest.approx(results[2]['val'])
    out = tmp_path / 'out.json'
    run_tool('test.py', tmp_path / 'on_2.py', tmp_path / '1' / 'best_student.pth', '--work-dir', tmp_path / 'test',
             '--out', out, '--launcher', 'pytorch', launcher=torchrun)
    metrics = json.loads(out.read_text())['metrics']
    assert {key: metrics[key] for key in results[1]['sembridge']} == pytest.approx(results[1]['sembridge'])
