"""Mixed precision on a CPU: bfloat16 in the forward pass alone."""

import platform

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from rstoolbox.engine import cpu_amp  # registers the wrapper


def test_products_are_bfloat16_and_weights_stay_float32():
    torch.manual_seed(0)
    model = nn.Linear(8, 1)
    wrapper = OPTIM_WRAPPERS.build(dict(type='CPUAmpOptimWrapper', optimizer=torch.optim.SGD(model.parameters(), 0.1)))
    inputs, targets = torch.randn(64, 8), torch.randn(64, 1)
    losses = []
    for _ in range(20):
        with wrapper.optim_context(model):
            outputs = model(inputs)
            loss = (outputs.float() - targets).square().mean()
        assert outputs.dtype == torch.bfloat16
        wrapper.update_params(loss)
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert model.weight.dtype == torch.float32


@pytest.mark.parametrize('machine, capability, slow', [
    ('x86_64', 'AVX2', True), ('x86_64', 'AVX512', False), ('aarch64', 'DEFAULT', False)])
def test_a_cpu_that_does_not_multiply_bfloat16_is_named(monkeypatch, machine, capability, slow):
    monkeypatch.setattr(platform, 'machine', lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    said = []
    monkeypatch.setattr(cpu_amp, 'print_log', lambda text, **kwargs: said.append(text))
    OPTIM_WRAPPERS.build(dict(type='CPUAmpOptimWrapper', optimizer=torch.optim.SGD(nn.Linear(2, 1).parameters(), 0.1)))
    assert [text.startswith('This CPU (AVX2) cannot multiply bfloat16') for text in said] == [True] * slow
