"""Training stops at the first loss that is no number, and says on which samples."""

import torch


class NonFiniteLossError(FloatingPointError):
    """A loss turned NaN or infinite."""


def check_finite(losses, data_samples, inputs):
    """Raise unless every loss is a finite number; one device synchronisation in all.

    Args:
        losses (Mapping[str, Tensor]): Scalars by name.
        data_samples (Sequence[DataSample]): The batch's samples, with their ``sample_id``.
        inputs (Tensor): The batch's images (B, C, H, W), searched for NaN and inf only if a loss has one.

    Raises:
        NonFiniteLossError: Naming each such loss, its value and the sample ids of the batch.
    """
    values = torch.stack([value.detach().float().mean() for value in losses.values()])
    if torch.isfinite(values).all():
        return
    wrong = [f'{name} = {value}' for name, value in zip(losses, values.tolist(), strict=True)
             if not torch.isfinite(torch.tensor(value))]
    ids = [sample_id(sample, row) for row, sample in enumerate(data_samples)]
    spoilt = (~torch.isfinite(inputs).flatten(1).all(1)).nonzero().flatten().tolist()
    text = f'{", ".join(wrong)} on the batch of {", ".join(ids)}'
    if spoilt:
        text += f'. Images that hold NaN or inf: {", ".join(ids[row] for row in spoilt)}'
    else:
        text += '. Every image is finite: lower the learning rate, clip gradients, or train without --amp'
    raise NonFiniteLossError(text)


def sample_id(data_sample, row):
    """What a message calls a sample: its ``sample_id``, its file, or its row in the batch."""
    return str(data_sample.get('sample_id') or data_sample.get('img_path') or f'row {row} of the batch')
