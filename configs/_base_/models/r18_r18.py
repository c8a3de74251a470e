# ResNet-18 teacher on multispectral images, ResNet-18 student on RGB images.
teacher = dict(
    type='SceneClassifier',
    bands='${ms_bands}',
    data_preprocessor=dict(type='ScenePreprocessor', bands='${ms_bands}', statistics='${statistics.ms}'),
    backbone=dict(type='mmpretrain.ResNet', depth=18, zero_init_residual=False),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead', num_classes='${num_classes.teacher}', in_channels=512,
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val='${teacher_label_smoothing}', mode='original')))
student = dict(
    type='SceneClassifier',
    bands='${rgb_bands}',
    data_preprocessor=dict(type='ScenePreprocessor', bands='${rgb_bands}', statistics='${statistics.rgb}'),
    backbone=dict(type='mmpretrain.ResNet', depth=18, zero_init_residual=False),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead', num_classes='${num_classes.student}', in_channels=512,
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val='${label_smoothing}', mode='original')))
