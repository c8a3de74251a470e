# What a student of matched teacher samples needs first, in this order.
_base_ = './ssm.py'

# The stages are shared by all rows and seeds of the student, so they have a seed of their own.
stage_seed = 0
stage_root = None
artifacts = dict(teacher=None, matcher=None, gallery=None, match=None)
teacher_scores = dict(
    single=dict(evaluator='${evaluator}', selection='${selection}'),
    multi=dict(evaluator=dict(type='SceneMetric', task='multi'), selection=dict(metric='mAP', rule='greater')))
stages = dict(
    teacher=dict(
        type='TrainStage', publish='best_teacher.pth',
        settings={
            'model': '${teacher}', 'train_dataset': '${ms_data.train}', 'val_dataset': '${ms_data.val}',
            'test_dataset': '${ms_data.test}', 'custom_hooks': [],
            'val_evaluator': '${teacher_scores.${label_kind.teacher}.evaluator}',
            'test_evaluator': '${teacher_scores.${label_kind.teacher}.evaluator}',
            'default_hooks.checkpoint.save_best': '${teacher_scores.${label_kind.teacher}.selection.metric}',
            'default_hooks.checkpoint.rule': '${teacher_scores.${label_kind.teacher}.selection.rule}',
            'max_epochs': '${teacher_epochs}', 'randomness.seed': '${stage_seed}'}),
    matcher=dict(
        type='TrainStage', publish='best_matcher.pth',
        settings={
            'model': '${matcher}', 'train_dataset': '${matcher_data.train}', 'val_dataset': '${matcher_data.val}',
            'evaluator': dict(type='MatcherMetric'), 'selection': dict(metric='loss', rule='less'),
            'test_dataloader': None, 'test_cfg': None, 'test_evaluator': None, 'custom_hooks': [],
            'max_epochs': '${matcher_epochs}', 'batch_size': '${matcher_batch_size}',
            'randomness.seed': '${stage_seed}'}),
    gallery=dict(
        type='GalleryStage', model='${teacher}', checkpoint='${artifacts.teacher}', dataset='${ms_data.gallery}',
        taps='${oc.select:model.taps.teacher,null}'),
    match=dict(
        type='MatchStage', model='${matcher}', checkpoint='${artifacts.matcher}',
        teacher='${ms_data.gallery}', student='${rgb_data.match}'))
