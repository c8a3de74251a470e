# M2S-GL of SemBridge's benchmark: a teacher of several classes an image, a student of one, 15 classes, all the world.
# As s2s_eu.py, but MS/<any folder>/*.mat hold the image (msi) and its classes (label); other formats are read with the
# classes in a JSON file, sample id -> list of class names.
_base_ = './s2s_eu.py'

data_root = 'data/M2S-GL'
image_size = 128
num_classes = dict(teacher=15, student=15)
label_kind = dict(teacher='multi')
label_file = None
ms_source = dict(type='M2S_GL', label_file='${label_file}')
rgb_source = dict(type='M2S_GL')
