# Any pair of these networks: teacher_net on multispectral images, student_net on RGB images.
# A net of your own: nets = dict(mine=dict(backbone=dict(type=...), width=...)), where the backbone ends in maps of that
# many channels.
teacher_net = 'resnet34'
student_net = 'resnet34'
# The layout of images in memory with which convolutions on a CPU are faster.
channels_last = True


def _net(type, width, **arguments):
    return dict(backbone=dict(type=f'mmpretrain.{type}', **arguments), width=width)


def _vision_transformer(arch, width):
    # Maps without the class token, so that its positions are averaged as those of the other nets are.
    return _net('VisionTransformer', width, arch=arch, img_size='${image_size}', patch_size=16, out_type='featmap')


nets = dict(
    resnet18=_net('ResNet', 512, depth=18, zero_init_residual=False),
    resnet34=_net('ResNet', 512, depth=34, zero_init_residual=False),
    resnet50=_net('ResNet', 2048, depth=50, zero_init_residual=False),
    mobilenet_v2=_net('MobileNetV2', 1280),
    mobilenet_v3_large=_net('MobileNetV3', 960, arch='large'),
    shufflenet_v2_x0_5=_net('ShuffleNetV2', 1024, widen_factor=0.5),
    # The last stages of a small image are smaller than a window.
    swin_tiny=_net('SwinTransformer', 768, arch='tiny', img_size='${image_size}', pad_small_map=True),
    convnext_tiny=_net('ConvNeXt', 768, arch='tiny', gap_before_final_norm=False),
    vit_tiny=_vision_transformer('deit-tiny', 192),
    vit_small=_vision_transformer('deit-small', 384),
    timm_efficientnet_b0=_net('TIMMBackbone', 1280, model_name='efficientnet_b0', pretrained=False),
    timm_mobilenetv3_small=_net('TIMMBackbone', 1024, model_name='mobilenetv3_small_100', pretrained=False),
)
# By what the labels of a side are: one class an image, or several, each there or not.
heads = dict(
    single=dict(type='mmpretrain.LinearClsHead', loss=dict(type='mmpretrain.LabelSmoothLoss', mode='original')),
    multi=dict(
        type='mmpretrain.MultiLabelLinearClsHead',
        loss=dict(type='mmpretrain.LabelSmoothLoss', mode='multi_label', use_sigmoid=True)))


def _classifier(side, data, label_smoothing):
    net = f'nets.${{{side}_net}}'
    return dict(
        type='SceneClassifier',
        bands=f'${{{data}_bands}}',
        channels_last='${channels_last}',
        data_preprocessor=dict(
            type='ScenePreprocessor', bands=f'${{{data}_bands}}', statistics=f'${{statistics.{data}}}'),
        backbone=dict(_inherit_=f'${{{net}.backbone}}'),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            _inherit_=f'${{heads.${{label_kind.{side}}}}}', num_classes=f'${{num_classes.{side}}}',
            in_channels=f'${{{net}.width}}', loss=dict(label_smooth_val=label_smoothing)))


teacher = dict(_classifier('teacher', 'ms', '${teacher_label_smoothing}'), rgb_bands='${natural_colour}')
student = _classifier('student', 'rgb', '${label_smoothing}')
