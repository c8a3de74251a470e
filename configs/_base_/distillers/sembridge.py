# SemBridge (arXiv 2511.08901): student-friendly matching and semantic-aware alignment on top of vanilla KD,
# L = L_task + lambda_1 L_kd + (1 - lambda_1) (L_ot1 + L_ot2). Compared with no transfer and with plain KD.
_base_ = './kd.py'

model = dict(
    start='${artifacts.matcher}',
    losses=dict(
        kd=dict(loss_weight=0.1),  # lambda_1
        ska=dict(type='SKA', loss_weight=0.9)))  # 1 - lambda_1
custom_hooks = [
    dict(
        type='StudentFriendlyMatchingHook', start='${matching.start}', interval='${matching.interval}',
        growth='${matching.growth}', shortlist='${artifacts.match}', tau='${tau}',
        dataloader=dict(
            batch_size=128, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            dataset='${rgb_data.match}'))
]

row = 'sembridge'
plain_kd = dict(kd=dict(_inherit_='${kd_losses.${label_kind.teacher}}', loss_weight=1.))
rows = dict(kd={'model.start': None, 'model.losses': '${plain_kd}', 'custom_hooks': []})
