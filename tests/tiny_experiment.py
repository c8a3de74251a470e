"""A whole SemBridge experiment that takes seconds: few images, thin networks, three epochs."""

from commands import ROOT

TINY = """
_base_ = '{root}/configs/sembridge/r18_ms2rgb.py'
data_root = '{data}'
images_per_class = 8
num_workers = 0
batch_size = 8
max_epochs = 3
teacher_epochs = 2
matcher_epochs = 2
matcher_batch_size = 8
checkpoint_interval = 1
matching = dict(start=1, interval=1, growth=0)
thin = dict(stem_channels=8, base_channels=8)
teacher = dict(backbone=thin, head=dict(in_channels=64))
student = dict(backbone=thin, head=dict(in_channels=64))
log_level = 'WARNING'
"""


def write_tiny(folder, data, more=''):
    """Write its config to ``folder``, over the embedded data set in ``data``, with ``more`` lines; return the path."""
    path = folder / 'tiny.py'
    path.write_text(TINY.format(root=ROOT, data=data) + more)
    return path
