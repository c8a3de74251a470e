# SemBridge on the embedded data set with everything this plug-in adds: ten labelled RGB images a class,
# a further transfer loss and a further measure. What is not named here is inherited.
_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'

rgb_data = dict(
    train=dict(type='FewShotMiniS2S', shots=10),
    match=dict(type='FewShotMiniS2S', shots=10))
model = dict(losses=dict(cka=dict(type='LinearCKA', loss_weight=0.5)))
evaluator = [dict(type='SceneMetric'), dict(type='CohenKappa')]
