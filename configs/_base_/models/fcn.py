# Fully convolutional segmentors on ResNets of stride 8: fcn_r50 and, small, fcn_r18.
num_classes = 7
norm = dict(type='BN')
preprocessor = dict(
    type='mmseg.SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
    size=('${crop}', '${crop}'), pad_val=0, seg_pad_val=255)


def _segmentor(depth, width):
    return dict(
        type='mmseg.EncoderDecoder', data_preprocessor='${preprocessor}',
        backbone=dict(type='mmseg.ResNetV1c', depth=depth, norm_cfg='${norm}', strides=(1, 2, 1, 1),
                      dilations=(1, 1, 2, 4), contract_dilation=True),
        decode_head=dict(
            type='mmseg.FCNHead', in_channels=width, in_index=3, channels=width // 4, num_convs=2, concat_input=True,
            dropout_ratio=0.1, num_classes='${num_classes}', norm_cfg='${norm}', align_corners=False,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


fcn_r50 = _segmentor(50, 2048)
fcn_r18 = _segmentor(18, 512)
