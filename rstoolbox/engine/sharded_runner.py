"""Training of models that are too large for every GPU to train a copy of (FSDP, torch's ``fully_shard``)."""

from itertools import chain

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.model import convert_sync_batchnorm
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from rstoolbox.registry import RUNNERS

from .config import ConfigError
from .runner import Runner


@RUNNERS.register_module()
class ShardedRunner(Runner):
    """A runner whose processes share out weights, gradients and the optimizer's state instead of each having a copy.

    Chosen by ``runner_type='ShardedRunner'``; of one process alone it is a plain :class:`Runner`. The layers of a model
    (members of its ``nn.ModuleList``) are gathered one by one as they are needed, what is around them as a whole. For
    validation and test every process gathers all weights once, as answers differ in length and the processes could not
    go layer by layer together. So the weights alone have to fit each GPU. ``model_wrapper_cfg`` has no say.

    Checkpoints hold whole tensors, as those of a plain run do: training goes on from them with any number of
    processes, sharded or not.

    Raises:
        ConfigError: With an ``EMAHook``, which copies the model.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.distributed:
            if any(isinstance(hook, EMAHook) for hook in self.hooks):
                raise ConfigError("EMAHook averages a copy of the model, and a sharded model has none. Remove it, "
                                  "or train with runner_type='Runner'.")
            self.register_hook(_WholeInEvaluationHook())

    def wrap_model(self, model_wrapper_cfg, model):
        if not self.distributed:
            return super().wrap_model(model_wrapper_cfg, model)
        if self.cfg.get('sync_bn'):
            model = convert_sync_batchnorm(model, self.cfg.sync_bn)
        self.model = model.to(get_device())
        if self._train_loop is not None:
            super()._init_model_weights()  # which also makes them alike on all processes; shards cannot be drawn
        return _shard(self.model)

    def _init_model_weights(self):
        if not self.distributed:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper):
        built = super().build_optim_wrapper(optim_wrapper)
        if self.distributed and built is not optim_wrapper:
            built.optimizer.register_state_dict_post_hook(_gather_optimizer)
            built.optimizer.register_load_state_dict_pre_hook(_shard_optimizer)
        return built

    def resume(self, filename, *args, map_location='cpu', **kwargs):
        # Of weights and optimizer's state, which are whole in a checkpoint, a GPU gets its part alone.
        super().resume(filename, *args, map_location=map_location, **kwargs)

    def save_checkpoint(self, out_dir, filename, *args, save_optimizer=True, **kwargs):
        if self.distributed and not is_main_process():  # only the main process writes, but all give their shards
            self.model.state_dict()
            if save_optimizer:
                self.optim_wrapper.state_dict()
        super().save_checkpoint(out_dir, filename, *args, save_optimizer=save_optimizer, **kwargs)


class _WholeInEvaluationHook(Hook):
    """Keeps the weights of a layer once they are gathered, from the first batch to the end of a validation or test."""

    def before_val(self, runner):
        self._keep_whole(runner.model, True)

    def after_val(self, runner):
        self._keep_whole(runner.model, False)

    before_test, after_test = before_val, after_val

    @staticmethod
    def _keep_whole(model, whole):
        for module in model.modules():
            if isinstance(module, FSDPModule):
                # The outermost weights are used again at once, in the backward pass.
                module.set_reshard_after_forward(not whole and module is not model, recurse=False)
                if not whole:
                    module.reshard()


def _shard(model):
    mesh = init_device_mesh(get_device(), (get_world_size(),))
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = [layer for layer in chain.from_iterable(lists)
              if not isinstance(layer, nn.ModuleList) and any(True for _ in layer.parameters())]
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()  # shards are rows
    for layer in reversed(dict.fromkeys(layers)):  # inner ones first
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.register_state_dict_post_hook(_gather_weights)
    for module in model.modules():
        module.register_load_state_dict_pre_hook(_shard_weights)
    return model


def _gather_weights(module, state_dict, prefix, metadata):
    for name, value in state_dict.items():
        state_dict[name] = _whole(value)


def _shard_weights(module, state_dict, prefix, *_):
    for name, parameter in module.named_parameters(recurse=False):
        if prefix + name in state_dict:
            state_dict[prefix + name] = _part(state_dict[prefix + name], parameter)


def _gather_optimizer(optimizer, state_dict):
    state = {number: {name: _whole(value) for name, value in values.items()}
             for number, values in state_dict['state'].items()}
    return {**state_dict, 'state': state}


def _shard_optimizer(optimizer, state_dict):
    parameters = chain.from_iterable(group['params'] for group in optimizer.param_groups)
    numbers = chain.from_iterable(group['params'] for group in state_dict['param_groups'])
    state = dict(state_dict['state'])
    for number, parameter in zip(numbers, parameters):
        if number in state:
            state[number] = {name: _part(value, parameter) for name, value in state[number].items()}
    return {**state_dict, 'state': state}


def _whole(value):
    """A sharded tensor as a whole one, in the memory of the main process; the others only take part."""
    if not isinstance(value, DTensor):
        return value
    value = value.full_tensor()
    return value.cpu() if is_main_process() else torch.empty_like(value, device='meta')


def _part(value, parameter):
    """A whole tensor sharded as a parameter of its shape is; anything else as it is."""
    if not isinstance(parameter, DTensor) or not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
        return value
    # The main process has the values; others, whose own state dict may have stood in for what a file lacks, need none.
    value = torch.empty_like(value, device=parameter.device) if value.is_meta else value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)
