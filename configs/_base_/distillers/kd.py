# Vanilla distillation from the teacher sample that the self-supervised matcher finds.
_base_ = './stages.py'

tau = 3.
# A teacher of several labels an image is compared class by class.
kd_losses = dict(single=dict(type='KD', tau='${tau}'), multi=dict(type='BinaryKD', tau='${tau}'))
model = dict(
    type='Distiller', student='${student}', teacher='${teacher}',
    teacher_checkpoint='${artifacts.teacher}', gallery='${artifacts.gallery}', image_size='${image_size}',
    losses=dict(kd=dict(_inherit_='${kd_losses.${label_kind.teacher}}', loss_weight=1.)))
train_dataset = dict(
    type='UnpairedSceneDataset', student='${rgb_data.train}', teacher='${ms_data.gallery}',
    match_table='${artifacts.match}', read_teacher=False, seed='${randomness.seed}')
custom_hooks = []

row = 'kd'
rows = dict(none={'model': '${student}', 'train_dataset': '${rgb_data.train}', 'custom_hooks': []})
