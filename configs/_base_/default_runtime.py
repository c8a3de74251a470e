# How every run is driven: loaders, hooks, logging. What is trained stands in the other parts.
default_scope = 'rstoolbox'
runner_type = 'Runner'  # 'ShardedRunner' shares a model out among the processes (FSDP)

num_workers = 2
collate = dict(type='rstoolbox.stack_images')
train_dataloader = dict(
    batch_size='${batch_size}', num_workers='${num_workers}', persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True), dataset='${train_dataset}',
    collate_fn='${collate}')
val_dataloader = dict(
    batch_size=128, num_workers='${num_workers}', persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False), dataset='${val_dataset}',
    collate_fn='${collate}')
test_dataloader = dict(
    batch_size=128, num_workers='${num_workers}', persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False), dataset='${test_dataset}',
    collate_fn='${collate}')
val_evaluator = '${evaluator}'
test_evaluator = '${evaluator}'
val_cfg = dict()
test_cfg = dict()

# The measure on the validation split by which the best epoch is chosen.
selection = dict(metric='accuracy', rule='greater')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='ResumableCheckpointHook', interval='${checkpoint_interval}', save_best='${selection.metric}',
                    rule='${selection.rule}'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncStatisticsHook'),  # else each process validates its own batch statistics
    reproducible=dict(type='ReproducibleEpochsHook'),
    publish=dict(type='PublishBestHook', filename='best_student.pth'))

randomness = dict(seed=0, deterministic=False)
env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
log_level = 'INFO'
load_from = None
resume = False
