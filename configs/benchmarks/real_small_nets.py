# The methods and data of real.py on two of the paper's pairs (teacher first) that train in a minute on a CPU.
_base_ = './real.py'
pairs = dict(
    _delete_=True,
    shufflenet_shufflenet=dict(teacher_net='shufflenet_v2_x0_5', student_net='shufflenet_v2_x0_5'),
    mobilenet_shufflenet=dict(teacher_net='mobilenet_v2', student_net='shufflenet_v2_x0_5'))
