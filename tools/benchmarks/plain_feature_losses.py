"""Transfer losses of embeddings, maps and tokens, as plainly as their formulas can be written.

``PLAIN[name](loss, student, teacher, labels)`` is the unweighted value for one batch. Layers and hyper-parameters are
those of ``loss``, whose docstring has the formula; both sides' maps are as many and of one size. Nothing here saves
time or memory or minds extreme values.
"""

import math

import torch
import torch.nn.functional as F


def rkd(loss, student, teacher, labels):
    student, teacher = student['embedding'], teacher['embedding']
    return (loss.distance_weight * relative_distance_loss(euclidean(student, student), euclidean(teacher, teacher))
            + loss.angle_weight * F.smooth_l1_loss(angles(student), angles(teacher)))


def distil_vpr(loss, student, teacher, labels):
    student, teacher = student['embedding'], teacher['embedding']
    curvature = loss.geodesic.keywords['curvature']
    agents = dict(euclidean=euclidean, cosine=lambda x, y: x @ y.T, geodesic=lambda x, y: geodesic(x, y, curvature))
    value = loss.relation_weight * F.smooth_l1_loss(angles(student), angles(teacher))
    for name in ('euclidean', 'geodesic'):
        value = value + loss.relation_weight * relative_distance_loss(agents[name](student, student),
                                                                      agents[name](teacher, teacher))
    x, y = F.normalize(loss.projection(student)), F.normalize(teacher)
    for (weight, _), relation in zip(loss.agents, agents.values(), strict=True):
        across = relation(x, y)
        value = value + weight * (F.mse_loss(relation(x, x), across.detach()) + F.mse_loss(across, relation(y, y)))
    return value


def pkt(loss, student, teacher, labels):
    shares = []
    for side in (student, teacher):
        unit = F.normalize(side['embedding'])
        similarity = (1 + unit @ unit.T) / 2
        shares.append(similarity / similarity.sum(dim=1, keepdim=True))
    return (shares[1] * ((shares[1] + 1e-7) / (shares[0] + 1e-7)).log()).mean()


def sp(loss, student, teacher, labels):
    student, teacher = (side['feats'][-1].flatten(1) for side in (student, teacher))
    return (F.normalize(student @ student.T) - F.normalize(teacher @ teacher.T)).square().mean()


def cc(loss, student, teacher, labels):
    kernels = []
    for side in (student, teacher):
        unit = F.normalize(side['embedding'])
        cosine = unit @ unit.T
        kernels.append(sum(factor * cosine ** power for power, factor in enumerate(loss.coefficients)))
    return (kernels[0] - kernels[1]).square().mean()


def crd(loss, student, teacher, labels):
    student = F.normalize(loss.student_projection(student['embedding']))
    teacher = F.normalize(loss.teacher_projection(teacher['embedding']))
    queue = loss.queue
    known = getattr(loss, 'labels_of_queue', labels.new_full((queue.size,), -1))
    entries = torch.cat((labels, known))
    negative = (labels[:, None] != entries) & (entries >= 0)
    count = negative.sum(dim=1, keepdim=True)
    noise = count * math.exp(loss.log_mean)
    value = 0
    for anchors, partners, kept in ((student, teacher, queue.teacher), (teacher, student, queue.student)):
        exponentials = (anchors @ torch.cat((partners, kept)).T / loss.tau).exp()
        share = exponentials / (exponentials + noise)
        value = value - (share.diagonal().log() + ((1 - share).log() * negative).sum(dim=1))[count[:, 0] > 0].sum()
    queue.student = torch.cat((student.detach(), queue.student))[:queue.size]
    queue.teacher = torch.cat((teacher.detach(), queue.teacher))[:queue.size]
    loss.labels_of_queue = entries[:queue.size]
    return value / len(labels)


def at(loss, student, teacher, labels):
    return sum((F.normalize(s.square().mean(dim=1).flatten(1)) - F.normalize(t.square().mean(dim=1).flatten(1)))
               .square().mean() for s, t in zip(student['feats'], teacher['feats']))


def nst(loss, student, teacher, labels):
    value = 0
    for maps in zip(student['feats'], teacher['feats']):
        x, y = (F.normalize(side.flatten(2), dim=2) for side in maps)
        value = (value + (x @ x.mT).square().mean() + (y @ y.mT).square().mean() - 2 * (x @ y.mT).square().mean())
    return value


def kdsvd(loss, student, teacher, labels):
    value, before = 0, None
    for maps in zip(student['feats'], teacher['feats']):
        own, target = (torch.linalg.svd(side.flatten(1, 2), full_matrices=False).Vh for side in maps)
        target = target[:, 0] * target[:, 0].sum(dim=1, keepdim=True).sign()
        cosine = (own[:, :4] @ target[:, :, None])[:, :, 0]
        rows, nearest = torch.arange(len(own)), cosine.abs().argmax(dim=1)
        own = own[rows, nearest] * cosine[rows, nearest].sign()[:, None]
        if before is not None:
            s, t = ((-(now[:, :, None] - past[:, None, :]).square() / 8).exp()
                    for now, past in zip((own, target), before))
            value = value + (s - t).square().sum() / len(s)
        before = own, target
    return value


def fitnet(loss, student, teacher, labels):
    return F.mse_loss(loss.regressor(student['feats'][loss.stage]), teacher['feats'][loss.stage])


def simkd(loss, student, teacher, labels):
    return F.mse_loss(loss.projector(student['feats'][-1]), teacher['feats'][-1])


def mgd(loss, student, teacher, labels):
    maps = loss.align(student['feats'][loss.stage])
    kept = (torch.rand(*maps.shape[:2], 1, 1, dtype=maps.dtype) >= loss.mask_ratio).to(maps.dtype)
    return (loss.generator(maps * kept) - teacher['feats'][loss.stage]).square().sum() / len(maps)


def ofd(loss, student, teacher, labels):
    value = 0
    for s, t, connector in zip(student['feats'], teacher['feats'], loss.connectors):
        x = connector(s)
        negative = t < 0
        margin = ((t * negative).sum(dim=(0, 2, 3)) / negative.sum(dim=(0, 2, 3)).clamp(min=1))[:, None, None]
        off = (x - torch.maximum(t, margin)).clamp(min=0).square()
        value = value / 2 + torch.where(t > 0, (x - t).square(), off).sum() / len(x)
    return value


def vid(loss, student, teacher, labels):
    value = 0
    for s, t, regressor, log_scale in zip(student['feats'], teacher['feats'], loss.regressors, loss.log_scales):
        variance = (F.softplus(log_scale) + loss.minimum_variance)[:, None, None]
        value = value + ((t - regressor(s)).square() / (2 * variance) + variance.log() / 2).mean()
    return value


def factor_transfer(loss, student, teacher, labels):
    teacher = teacher['feats'][-1]
    factor = loss.paraphraser(teacher)
    translated = loss.translator(student['feats'][-1])
    distance = (F.normalize(translated.flatten(1)) - F.normalize(factor.detach().flatten(1))).abs().mean()
    return loss.transfer_weight * distance + loss.reconstruction_weight * F.mse_loss(loss.decoder(factor), teacher)


def review_kd(loss, student, teacher, labels):
    sides = ([side['embedding'][:, :, None, None], *side['feats'][::-1]] for side in (student, teacher))
    value, deeper = 0, None
    for block, maps, target in zip(loss.blocks, *sides):
        maps = block.reduce(maps)
        if deeper is not None:
            deeper = F.interpolate(deeper, maps.shape[2:])
            attention = block.attend(torch.cat((maps, deeper), dim=1))
            maps = attention[:, :1] * maps + attention[:, 1:] * deeper
        deeper, maps = maps, block.restore(maps)
        terms = [(1., F.mse_loss(maps, target))]
        for grid in (4, 2, 1):
            if grid < maps.shape[2]:
                coarse = (F.adaptive_avg_pool2d(side, grid) for side in (maps, target))
                terms.append((terms[-1][0] / 2, F.mse_loss(*coarse)))
        value = value + sum(weight * term for weight, term in terms) / sum(weight for weight, _ in terms)
    return value


def ska(loss, student, teacher, labels):
    own, target = loss.student_projection(student['tokens']), teacher['tokens']
    if loss.teacher_projection is not None:
        target = target @ loss.teacher_projection
    with torch.no_grad():
        cost = 1 - F.cosine_similarity(own[:, :, None], target[:, None], dim=3)
        a, b = (attention(side).log() for side in (own, target))
        v = torch.zeros_like(b)
        for _ in range(loss.num_iters):
            u = a - (v[:, None] - cost / loss.epsilon).logsumexp(dim=2)
            v = b - (u[:, :, None] - cost / loss.epsilon).logsumexp(dim=1)
        carried = (v[:, None] - cost / loss.epsilon).softmax(dim=2) @ target
    return (loss.token_weight * coral(own.flatten(1), carried.flatten(1))
            + loss.pooled_weight * coral(loss.pooled_projection(student['embedding']), teacher['embedding']))


def euclidean(x, y):
    squared = (x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.T).clamp(min=1e-12)
    return without_self(squared.sqrt()) if x is y else squared.sqrt()


def without_self(distances):
    return distances * (1 - torch.eye(len(distances), dtype=distances.dtype))


def relative_distance_loss(student, teacher):
    pairs = len(student) * (len(student) - 1)
    return F.smooth_l1_loss(student / (student.sum() / pairs), teacher / (teacher.sum() / pairs))


def angles(x):
    directions = F.normalize(x[None] - x[:, None], dim=2)
    return directions @ directions.mT


def geodesic(x, y, curvature):
    same, root = x is y, curvature ** 0.5
    x, y = (F.normalize(side) * (root * side.norm(dim=1, keepdim=True)).tanh().clamp(max=1 - 1e-3) / root
            for side in (x, y))
    first, second = -x[:, None], y[None]
    product, x2, y2 = ((a * b).sum(dim=2, keepdim=True)
                       for a, b in ((first, second), (first, first), (second, second)))
    moebius = (((1 + 2 * curvature * product + curvature * y2) * first + (1 - curvature * x2) * second)
               / (1 + 2 * curvature * product + curvature ** 2 * x2 * y2 + 1e-5))
    distances = 2 / root * (root * moebius.norm(dim=2)).clamp(max=1 - 1e-5).atanh()
    return without_self(distances) if same else distances


def attention(tokens):
    heads = 8 if tokens.shape[2] % 8 == 0 else 1
    views = tokens.unflatten(2, (heads, -1)).transpose(1, 2)
    views = views / views.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return (views @ views.mT / views.shape[3] ** 0.5).softmax(dim=3).mean(dim=(1, 2))


def cwd(loss, student, teacher, labels):
    student, teacher = (side['feats'][loss.stage] for side in (student, teacher))
    student, teacher = (F.softmax(map_.flatten(2) / loss.tau, dim=2) for map_ in (loss.connector(student), teacher))
    return loss.tau ** 2 * (teacher * (teacher / student).log()).sum(dim=2).mean()


def coral(x, y):
    n = len(x)
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    norms = [(side @ side.T / (n - 1)).square().sum() for side in (x, y)]
    squared = [(n - 1) / (n * (n - 2) * (n - 3)) * (
        (n - 1) * (n - 2) * norm + (side.square().sum() / (n - 1)).square()
        - n * side.square().sum(dim=1).square().sum() / (n - 1)) for side, norm in zip((x, y), norms)]
    cross = (x @ y.T / (n - 1)).square().sum()
    return (squared[0] + squared[1] - 2 * cross) / (norms[0] + norms[1]).detach()


PLAIN = dict(
    AT=at, CC=cc, CRD=crd, CWD=cwd, DistilVPR=distil_vpr, FactorTransfer=factor_transfer, FitNet=fitnet, KDSVD=kdsvd,
    MGD=mgd, NST=nst, OFD=ofd, PKT=pkt, ReviewKD=review_kd, RKD=rkd, SimKD=simkd, SKA=ska, SP=sp, VID=vid)
