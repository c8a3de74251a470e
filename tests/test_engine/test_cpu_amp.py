"""Mixed precision on a CPU: bfloat16 in the forward pass alone."""

import torch
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

import rstoolbox.engine  # noqa: F401, registers the wrapper


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
