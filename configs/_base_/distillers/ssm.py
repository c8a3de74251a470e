# The self-supervised matcher that finds the first match: the frozen teacher, and an encoder of the student's kind.
matcher = dict(
    type='SceneMatcher',
    ms_encoder='${teacher}',
    teacher_checkpoint='${artifacts.teacher}',
    rgb_encoder=dict(
        type='SceneClassifier',
        bands='${rgb_bands}',
        channels_last='${channels_last}',
        data_preprocessor=dict(type='ScenePreprocessor', bands='${rgb_bands}', statistics='${statistics.rgb}'),
        backbone='${student.backbone}',
        neck='${student.neck}'))
