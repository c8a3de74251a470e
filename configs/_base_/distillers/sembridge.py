# SemBridge (arXiv 2511.08901): student-friendly matching and semantic-aware alignment on top of vanilla KD,
# L = L_task + lambda_1 L_kd + (1 - lambda_1) (L_ot1 + L_ot2). Compared with no transfer and with plain KD.
_base_ = './stages.py'

lambda_1 = 0.5
model = dict(
    type='Distiller', student='${student}', teacher='${teacher}', gallery='${artifacts.gallery}',
    image_size='${image_size}',
    losses=dict(
        kd=dict(type='KD', tau=3., loss_weight=lambda_1),
        ska=dict(type='SKA', loss_weight=1 - lambda_1)))
train_dataset = dict(
    type='UnpairedSceneDataset', student='${rgb_data.train}', teacher='${ms_data.gallery}',
    match_table='${artifacts.match}', read_teacher=False)
custom_hooks = [
    dict(
        type='StudentFriendlyMatchingHook', start='${matching.start}', interval='${matching.interval}',
        growth='${matching.growth}', shortlist='${artifacts.match}', tau=3.,
        dataloader=dict(
            batch_size=128, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset='${rgb_data.match}'))
]

row = 'sembridge'
rows = dict(
    none={'model': '${student}', 'train_dataset': '${rgb_data.train}', 'custom_hooks': []},
    kd={'model.losses': dict(kd=dict(type='KD', tau=3., loss_weight=1.)), 'custom_hooks': []})
