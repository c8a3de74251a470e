# The self-supervised matcher that finds the first match: one encoder for each modality.
matcher = dict(
    type='SceneMatcher',
    ms_encoder=dict(
        type='SceneClassifier',
        bands='${ms_bands}',
        data_preprocessor=dict(type='ScenePreprocessor', bands='${ms_bands}', statistics='${statistics.ms}'),
        backbone=dict(type='mmpretrain.ResNet', depth=18),
        neck=dict(type='mmpretrain.GlobalAveragePooling')),
    rgb_encoder=dict(
        type='SceneClassifier',
        bands='${rgb_bands}',
        data_preprocessor=dict(type='ScenePreprocessor', bands='${rgb_bands}', statistics='${statistics.rgb}'),
        backbone=dict(type='mmpretrain.ResNet', depth=18),
        neck=dict(type='mmpretrain.GlobalAveragePooling')))
