# Fine-tuning on GPUs: AdamW, warm-up, bfloat16, accumulation over four steps, gradients clipped.
_base_ = '../default_runtime.py'

batch_size = 7
max_iters = 20000
warmup_iters = 500
learning_rate = 1e-5
weight_decay = 0.01
checkpoint_interval = 2000
num_workers = 4

# By iterations, with a sampler that can skip: an interrupted run goes on at the record where it stopped.
train_cfg = dict(type='IterBasedTrainLoop', max_iters='${max_iters}', val_interval='${checkpoint_interval}')
# Four records of an image are encoded with it at once; a batch of seven still holds two images or more.
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ImageGroupSampler', batch_size='${batch_size}', group=4))
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    type='AmpOptimWrapper', dtype='bfloat16', accumulative_counts=4, clip_grad=dict(max_norm=1.),
    optimizer=dict(type='AdamW', lr='${learning_rate}', weight_decay='${weight_decay}', fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end='${warmup_iters}'),
    dict(type='CosineAnnealingLR', by_epoch=False, begin='${warmup_iters}', end='${max_iters}'),
]
evaluator = dict(type='FalconMetric')
log_processor = dict(by_epoch=False)
# Without the hook that seeds epochs, which are of no account here.
default_hooks = dict(
    _delete_=True,
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval='${checkpoint_interval}', max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncStatisticsHook'),
    publish=dict(type='PublishBestHook', filename='falcon.pth'))
