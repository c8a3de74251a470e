# A recipe for the embedded records: minutes on two cores.
_base_ = '../default_runtime.py'

batch_size = 64
max_epochs = 10
learning_rate = 1e-3
weight_decay = 0.05
checkpoint_interval = 1  # epochs that an interrupted run repeats at the most

# Up to eight records of an image stay together, and each image is encoded once in a batch; answers of a batch are of
# similar length.
train_dataloader = dict(sampler=dict(_delete_=True, type='ImageGroupSampler', batch_size='${batch_size}', group=8))
train_cfg = dict(by_epoch=True, max_epochs='${max_epochs}', val_interval='${max_epochs}')
optim_wrapper = dict(
    type='OptimWrapper', clip_grad=dict(max_norm=1.),
    optimizer=dict(type='AdamW', lr='${learning_rate}', weight_decay='${weight_decay}', betas=(0.9, 0.98)))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max='${max_epochs}', by_epoch=True, begin=0, end='${max_epochs}',
         convert_to_iter_based=True),
]
evaluator = dict(type='FalconMetric')
default_hooks = dict(
    # The last epoch is published: nothing is chosen on the validation split.
    checkpoint=dict(save_best=None),
    publish=dict(filename='falcon.pth'))
