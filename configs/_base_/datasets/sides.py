# Which splits of the teacher's and the student's images an experiment reads, and how. What inherits this says what both
# are (ms_source, rgb_source) and gives the pipelines.

natural_colour = None  # names of the red, green and blue band where they are not B04, B03, B02


def _data(side, split, pipeline):
    return dict(_inherit_=f'${{{side}_source}}', split=split, pipeline=f'${{{pipeline}_pipeline}}')


ms_data = dict(
    train=_data('ms', 'train', 'train'),
    val=_data('ms', 'val', 'plain'),
    test=_data('ms', 'test', 'plain'),
    gallery=_data('ms', 'train', 'plain'))
rgb_data = dict(
    train=_data('rgb', 'train', 'rgb_train'),
    val=_data('rgb', 'val', 'rgb_plain'),
    test=_data('rgb', 'test', 'rgb_plain'),
    match=_data('rgb', 'train', 'rgb_plain'))
matcher_data = dict(train=_data('ms', 'train', 'matcher'), val=_data('ms', 'val', 'matcher_plain'))

val_dataset = '${rgb_data.val}'
test_dataset = '${rgb_data.test}'
evaluator = dict(type='SceneMetric')
