_base_ = [
    '../_base_/datasets/loveda.py',
    '../_base_/models/fcn.py',
    '../_base_/schedules/segmentation.py',
]
teacher_checkpoint = 'work_dirs/fcn_r50_loveda/best_student.pth'
scores = dict(feats='decode_head.conv_seg')  # maps of class scores, with what CWD's paper gives those
model = dict(
    type='DenseDistiller', student='${fcn_r18}', teacher='${fcn_r50}', teacher_checkpoint='${teacher_checkpoint}',
    losses=dict(cwd=dict(type='CWD', tau=4., loss_weight=3.)), taps=dict(student='${scores}', teacher='${scores}'))
