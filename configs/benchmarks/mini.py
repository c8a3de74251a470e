# A benchmark of minutes on the embedded data set, which shows that everything works and not which method is better.
datasets = dict(mini=dict(config='rstoolbox::sembridge/r18_ms2rgb.py'))
pairs = dict(resnet18_resnet18=dict())
methods = dict(
    kd=dict(type='KD', tau=3., loss_weight=1.),
    dkd=dict(type='DKD', alpha=1., beta=8., tau=4., loss_weight=1.))
seeds = [0, 1]
options = dict(max_epochs=4, teacher_epochs=4, matcher_epochs=2, matching=dict(start=1, interval=1, growth=0))
