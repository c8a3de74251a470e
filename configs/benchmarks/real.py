# SemBridge and its seven rivals on real data, each plain and within SemBridge (arXiv 2511.08901).
# ResNet-18 teaches ResNet-18; real_small_nets.py has pairs of small networks and more epochs.
amp = False  # --amp does the same
datasets = dict(
    EU=dict(config='rstoolbox::sembridge/r18_eu.py'),
    World=dict(config='rstoolbox::sembridge/r18_world.py'))
pairs = dict(resnet18_resnet18=dict())
# Hyper-parameters are those of each method's publication. SemBridge's lambda_1 comes on top where it is the frame.
methods = dict(
    # Hinton et al., 2015. Temperature 3 as in SemBridge.
    kd=dict(type='KD', tau=3., loss_weight=1.),
    # Ba and Caruana, 2014. The weight with which SemBridge compares it.
    mse=dict(type='LogitsMSE', loss_weight=0.01),
    # Park et al., CVPR 2019: distances 25, angles 50. The factor 0.1 is that of SemBridge's comparison.
    rkd=dict(type='RKD', distance_weight=25., angle_weight=50., loss_weight=0.1),
    # Zhao et al., CVPR 2022, CIFAR-100: alpha 1, beta 8, temperature 4, warm-up over 20 of 240 epochs.
    dkd=dict(type='DKD', alpha=1., beta=8., tau=4., warmup=20 / 240, loss_weight=1.),
    # Li et al., AAAI 2023: temperature from 1 to 21, gradient reversed over 10 of 240 epochs.
    ctkd=dict(type='CTKD', start=1., end=21., ramp=10 / 240, loss_weight=1.),
    # Sun et al., CVPR 2024: z-scores within KD at temperature 2 and weight 9.
    lskd=dict(type='LSKD', loss=dict(type='KD', tau=2.), loss_weight=9.),
    # Wang et al., AAAI 2024: curvature 0.1, relations between the networks 0.1 each, relations within them 10.
    distilvpr=dict(type='DistilVPR', relation_weight=10., distance_weight=0.1, cosine_weight=0.1, geodesic_weight=0.1,
                   curvature=0.1, loss_weight=1.))
seeds = [0, 1, 2]
# It holds eurosat_ms, eurosat_rgb and nwpu_resisc45_subset; configs/sembridge/README.md says more.
options = dict(data_root='data')
