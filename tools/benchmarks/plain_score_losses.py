"""Transfer losses of logits, as plainly as their formulas can be written.

``PLAIN[name](loss, student, teacher, labels)`` is the unweighted value for one batch. Layers and hyper-parameters are
those of ``loss``, whose docstring has the formula; both sides' maps are as many and of one size. Nothing here saves
time or memory or minds extreme values.
"""

import torch
import torch.nn.functional as F


def kd(loss, student, teacher, labels):
    return loss.scale * soft_divergence(student['logits'] / loss.tau, teacher['logits'] / loss.tau)


def logits_mse(loss, student, teacher, labels):
    return (student['logits'] - teacher['logits']).square().mean()


def dkd(loss, student, teacher, labels):
    own, rest = [], []
    for side in (student, teacher):
        logits = side['logits'] / loss.tau
        share = logits.softmax(dim=1)[torch.arange(len(labels)), labels]
        own.append(torch.stack((share, 1 - share), dim=1).log())
        rest.append(others(logits, labels))
    return loss.tau ** 2 * (loss.alpha * soft_divergence(*own) + loss.beta * soft_divergence(*rest))


def nkd(loss, student, teacher, labels):
    rows = torch.arange(len(labels))
    own = teacher['logits'].softmax(dim=1)[rows, labels] * student['logits'].log_softmax(dim=1)[rows, labels]
    student, teacher = (others(side['logits'], labels) / loss.tau for side in (student, teacher))
    rest = (teacher.softmax(dim=1) * student.log_softmax(dim=1)).sum(dim=1)
    return -own.mean() - loss.gamma * loss.tau ** 2 * rest.mean()


def wsld(loss, student, teacher, labels):
    student, teacher = student['logits'], teacher['logits']
    ratio = (F.cross_entropy(student.detach(), labels, reduction='none')
             / F.cross_entropy(teacher, labels, reduction='none'))
    soft = ((teacher / loss.tau).softmax(dim=1) * (student / loss.tau).log_softmax(dim=1)).sum(dim=1)
    return -loss.tau ** 2 * ((1 - (-ratio).exp()) * soft).mean()


def ctkd(loss, student, teacher, labels):
    # The gradient of theta has the other sign: without the layer that turns it, the rest is the same.
    tau = loss.start + (loss.end - loss.start) * loss.theta.sigmoid()
    return tau ** 2 * soft_divergence(student['logits'] / tau, teacher['logits'] / tau)


def lskd(loss, student, teacher, labels):
    student, teacher = (dict(logits=(logits - logits.mean(dim=1, keepdim=True))
                             / (logits.std(dim=1, keepdim=True) + loss.epsilon))
                        for logits in (student['logits'], teacher['logits']))
    return loss.loss.loss_weight * kd(loss.loss, student, teacher, labels)


def dist(loss, student, teacher, labels):
    student, teacher = ((side['logits'] / loss.tau).softmax(dim=1) for side in (student, teacher))
    value = 0
    for weight, dim in ((loss.beta, 1), (loss.gamma, 0)):
        x, y = (side - side.mean(dim=dim, keepdim=True) for side in (student, teacher))
        correlation = (x * y).sum(dim=dim) / (x.norm(dim=dim) * y.norm(dim=dim) + loss.epsilon)
        value = value + weight * (1 - correlation.mean())
    return loss.tau ** 2 * value


def mlkd(loss, student, teacher, labels):
    value = 0
    for tau in loss.taus:
        x, y = student['logits'] / tau, teacher['logits'] / tau
        p, q = x.softmax(dim=1), y.softmax(dim=1)
        value = (value + loss.instance_weight * tau ** 2 * soft_divergence(x, y)
                 + loss.batch_weight * (q @ q.T - p @ p.T).square().sum() / len(p)
                 + loss.class_weight * (q.T @ q - p.T @ p).square().sum() / p.shape[1])
    return value


def c2kd(loss, student, teacher, labels):
    student, teacher = student['logits'], teacher['logits']
    x, y = ((side[:, :, None] - side[:, None, :]).sign() for side in (student.detach(), teacher))
    rank_correlation = (x * y).sum(dim=(1, 2)) / (x.abs().sum(dim=(1, 2)) * y.abs().sum(dim=(1, 2))).sqrt()
    x, y = others(student / loss.tau, labels), others(teacher / loss.tau, labels)
    divergence = F.kl_div(x.log_softmax(dim=1), y.softmax(dim=1), reduction='none').sum(dim=1)
    return loss.tau ** 2 * ((rank_correlation > loss.threshold) * divergence).mean()


def binary_kd(loss, student, teacher, labels):
    p, q = ((side['logits'] / loss.tau).sigmoid() for side in (student, teacher))
    divergence = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    return loss.tau ** 2 * divergence.sum() / len(p)


def soft_divergence(student, teacher):
    return F.kl_div(student.log_softmax(dim=1), teacher.softmax(dim=1), reduction='batchmean')


def others(logits, labels):
    return logits[F.one_hot(labels, logits.shape[1]) == 0].reshape(len(logits), -1)


PLAIN = dict(
    BinaryKD=binary_kd, C2KD=c2kd, CTKD=ctkd, DIST=dist, DKD=dkd, KD=kd, LogitsMSE=logits_mse, LSKD=lskd, MLKD=mlkd,
    NKD=nkd, WSLD=wsld)
