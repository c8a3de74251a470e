# A recipe for the embedded records: minutes on two cores.
_base_ = '../default_runtime.py'

batch_size = 64
max_epochs = 4
learning_rate = 1e-3
weight_decay = 0.05
warmup_iters = 473  # an epoch of the embedded records
checkpoint_interval = 1  # epochs that an interrupted run repeats at the most

# Up to four records of an image stay together, and each image is encoded once in a batch. Lengths of answers mix: a new
# network finds the objects much sooner if every step has answers of all tasks.
# Reading takes a fifteenth of a step on one core; workers would take more from the two that train.
train_dataloader = dict(
    num_workers=0,
    sampler=dict(_delete_=True, type='ImageGroupSampler', batch_size='${batch_size}', group=4, window=0))
train_cfg = dict(by_epoch=True, max_epochs='${max_epochs}', val_interval='${max_epochs}')
optim_wrapper = dict(
    type='OptimWrapper', clip_grad=dict(max_norm=1.),
    optimizer=dict(type='AdamW', lr='${learning_rate}', weight_decay='${weight_decay}', betas=(0.9, 0.98),
                   fused=True),
    # At the full rate the image encoder runs away before the decoder looks at it.
    # The token embedding is a weight of several modules.
    paramwise_cfg=dict(custom_keys={'vision_tower': dict(lr_mult=0.3)}, bypass_duplicate=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end='${warmup_iters}'),
    dict(type='CosineAnnealingLR', T_max='${max_epochs}', by_epoch=True, begin=0, end='${max_epochs}',
         convert_to_iter_based=True),
]
evaluator = dict(type='FalconMetric')
default_hooks = dict(
    # The last epoch is published: nothing is chosen on the validation split.
    checkpoint=dict(save_best=None),
    publish=dict(filename='falcon.pth'))
