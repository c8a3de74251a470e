# Fine-tuning on GPUs: AdamW, warm-up, bfloat16, accumulation over four steps, gradients clipped.
_base_ = '../default_runtime.py'

batch_size = 7
max_iters = 20000
learning_rate = 1e-5
weight_decay = 0.01
checkpoint_interval = 2000
num_workers = 4

# By iterations, with a sampler that can skip: an interrupted run goes on at the record where it stopped.
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters='${max_iters}', val_interval='${checkpoint_interval}')
train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True))
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    type='AmpOptimWrapper', dtype='bfloat16', accumulative_counts=4, clip_grad=dict(max_norm=1.),
    optimizer=dict(type='AdamW', lr='${learning_rate}', weight_decay='${weight_decay}'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=500, end='${max_iters}', T_max='${max_iters}'),
]
evaluator = dict(type='FalconMetric')
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(
        _delete_=True, type='CheckpointHook', by_epoch=False, interval='${checkpoint_interval}', max_keep_ckpts=3),
    reproducible=None,  # epochs are of no account here
    publish=dict(filename='falcon.pth'))
