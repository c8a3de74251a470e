"""What Falcon's ways of answering and training bring beside the published ones, and what its constraint costs.

    python tools/benchmarks/falcon.py --json

All run in this process in float32, with the same random weights on the embedded records, in turns; times are medians,
and the constraint's overhead is the median over turns.

- generation: detection prompts of different images in one batch, padding masked, with the confidence of every token,
  against the network's own generation for one prompt after the other, without a mask; the same beams.
- training: steps on batches as ImageGroupSampler draws them, padding masked and each image encoded once, against
  batches in random order that encode the image of every record and attend to all padding: to 800 tokens, where the
  published code cuts prompts and answers ("ratio"), or to the longest of the batch ("longest_ratio").
- constraint: generation held to the grammar of the task against free generation.

Answers have all --tokens tokens: random weights know no end.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.nn.functional import pad
from torch.utils.data import RandomSampler

from rstoolbox.datasets.falcon import ImageGroupSampler, MiniFalcon
from rstoolbox.engine.errors import count, readable_errors
from rstoolbox.heads import head_for
from rstoolbox.heads.base import ABSENT
from rstoolbox.heads.constraint import AnswerConstraint
from rstoolbox.models.falcon import Falcon
from rstoolbox.models.falcon.generation import generate
from rstoolbox.models.falcon.network import GEOMETRIES, PAD, image_tokens, network_config

TOKENIZER = Path(__file__).resolve().parents[2] / 'configs/_base_/models/falcon_tiny_tokenizer'
TASK = 'REG_DET_HBB'
PUBLISHED_LENGTH = 800  # tokens of a prompt without its image, and of an answer


def main():
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true', help='print one JSON object and nothing else')
    parser.add_argument('--geometry', default='tiny', choices=GEOMETRIES)
    parser.add_argument('--image-size', type=count, default=96, help='of the network, in pixels')
    parser.add_argument('--scenes', type=count, default=40, help='of the embedded records')
    parser.add_argument('--prompts', type=count, default=8, help='that are answered in one batch')
    parser.add_argument('--beams', type=count, default=3)
    parser.add_argument('--tokens', type=count, default=48, help='of an answer')
    parser.add_argument('--batch-size', type=count, default=32, help='records of a training step')
    parser.add_argument('--steps', type=count, default=2, help='training steps that are timed at once')
    parser.add_argument('--repeats', type=count, default=3, help='thirty times as often for the constraint')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    args = parser.parse_args()
    if args.device != 'cpu' and not torch.cuda.is_available():
        parser.error(f'--device {args.device}: torch finds no GPU')
    torch.manual_seed(0)
    # The making of the records is told where it does not mix with the result.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        records, detections = (MiniFalcon(Path(folder) / 'mini_falcon', scenes=args.scenes, tasks=tasks)
                               for tasks in (None, [TASK]))
        if args.prompts > args.scenes or args.batch_size * args.steps > len(records):
            parser.error(f'--scenes {args.scenes} has {args.scenes} images and {len(records)} records: too few for '
                         f'--prompts {args.prompts} or for --batch-size {args.batch_size} x --steps {args.steps}')
        model = Falcon(args.geometry, tokenizer=TOKENIZER, image_size=args.image_size,
                       max_positions=positions(args)).to(args.device)
        result = dict(generation=generation(model, detections, args), training=training(model, records, args),
                      constraint=constraint(model, detections, args), threads=torch.get_num_threads())
        if args.device != 'cpu':
            result['gpu'] = torch.cuda.get_device_name(args.device)
    result |= {name: value for name, value in vars(args).items() if name != 'json'}
    if args.json:
        print(json.dumps(result))
        return
    print(f'Generation: {result["generation"]["ratio"]:.2f}x the images per second of one prompt after the other\n'
          f'Training: {result["training"]["ratio"]:.2f}x the samples per second of padding to {PUBLISHED_LENGTH} '
          f'tokens, {result["training"]["longest_ratio"]:.2f}x of padding to the longest\n'
          f'Constraint: {100 * result["constraint"]["overhead"]:.1f} % more time')


def generation(model, detections, args):
    """Images per second of a batch and of one prompt after the other."""
    rows = first_of_images(detections, args.prompts)
    batch, alone = prepared(model, detections, rows), [prepared(model, detections, [row]) for row in rows]
    for prompt in alone:
        del prompt['attention_mask'], prompt['image_rows']
    rules, answers = length_rules(args), {}

    def batched():
        answers['batched'] = [answer.text for answer in generate(model.network, model.tokenizer, **batch, **rules)]

    def published():
        ids = [model.network.generate(**prompt, **rules)[0] for prompt in alone]
        answers['published'] = model.tokenizer.batch_decode(ids, skip_special_tokens=True)

    seconds, published_seconds = medians((batched, published), args.repeats)
    same = sum(ours == theirs for ours, theirs in zip(*answers.values())) / args.prompts
    return dict(ratio=published_seconds / seconds, images_per_second=args.prompts / seconds,
                published_images_per_second=args.prompts / published_seconds, same_answers=same)


def training(model, records, args):
    """Samples per second of training steps, forward, backward and update, on batches that are padded in three ways."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step(inputs):
        optimizer.zero_grad()
        model.loss(inputs, [])['loss'].backward()
        optimizer.step()

    samplers = ImageGroupSampler(records, args.batch_size, seed=0), RandomSampler(records)
    ours, longest = ([prepared(model, records, rows, labels=True) for rows in first_batches(sampler, args)]
                     for sampler in samplers)
    longest = [unmasked(inputs) for inputs in longest]
    room = model.data_preprocessor.image_tokens + PUBLISHED_LENGTH
    published = [unmasked(inputs, room, PUBLISHED_LENGTH) for inputs in longest]
    seconds, longest_seconds, published_seconds = medians(
        [lambda batches=batches: [step(inputs) for inputs in batches] for batches in (ours, longest, published)],
        args.repeats)
    samples = args.batch_size * args.steps
    model.eval()
    return dict(ratio=published_seconds / seconds, longest_ratio=longest_seconds / seconds,
                samples_per_second=samples / seconds, longest_samples_per_second=samples / longest_seconds,
                published_samples_per_second=samples / published_seconds)


def constraint(model, detections, args):
    """By which share generation takes longer that is held to the grammar."""
    inputs = prepared(model, detections, first_of_images(detections, args.prompts))
    grammar, heads = AnswerConstraint(model.tokenizer), [head_for(TASK)] * args.prompts
    # That there is no such object is a whole answer, after which there is nothing to hold.
    absent = model.tokenizer(ABSENT, add_special_tokens=False).input_ids[0]
    rules = dict(length_rules(args), suppress_tokens=[absent])

    def free():
        generate(model.network, model.tokenizer, **inputs, **rules)

    def held():
        # Room for more than is generated: near the end of an answer only its end would be left.
        processor = grammar.processor(heads, 2 * args.tokens + 100)
        generate(model.network, model.tokenizer, **inputs, **rules, logits_processor=[processor])

    # A small difference of noisy times takes many of them, each compared with the one beside it.
    times, free_times = turns((held, free), 30 * args.repeats)
    overhead = median(mine / other for mine, other in zip(times, free_times)) - 1
    return dict(overhead=overhead, seconds=median(times), free_seconds=median(free_times))


def positions(args):
    """Room for the published padding where the geometry has too little."""
    tokens = image_tokens(network_config(args.geometry, 3), (args.image_size, args.image_size))
    return max(GEOMETRIES[args.geometry]['max_positions'], tokens + PUBLISHED_LENGTH)


def length_rules(args):
    """Rules under which every answer has all its tokens."""
    return dict(num_beams=args.beams, max_new_tokens=args.tokens, min_new_tokens=args.tokens, forced_eos_token_id=None)


def first_of_images(detections, number):
    """Items about so many different images."""
    return np.sort(np.unique(detections.image_keys, return_index=True)[1])[:number]


def first_batches(sampler, args):
    """Items of the first batches that a sampler draws."""
    places = islice(sampler, args.batch_size * args.steps)
    return np.fromiter(places, int).reshape(args.steps, args.batch_size)


def prepared(model, dataset, rows, labels=False):
    """What the network reads of some items."""
    items = [dataset[row] for row in rows]
    data = {name: [item[name] for item in items] for name in ('inputs', 'data_samples')}
    inputs = model.data_preprocessor(data)['inputs']
    return inputs if labels else {name: value for name, value in inputs.items() if name != 'labels'}


def unmasked(inputs, prompt_length=0, answer_length=0):
    """The same records, each with an image of its own, padding up to a length attended to and learnt."""
    ids, labels = inputs['input_ids'], inputs['labels'].masked_fill(inputs['labels'] == -100, PAD)
    ids = pad(ids, (0, max(prompt_length - ids.shape[1], 0)), value=PAD)
    labels = pad(labels, (0, max(answer_length - labels.shape[1], 0)), value=PAD)
    images = inputs['pixel_values'][inputs['image_rows']]
    return dict(pixel_values=images, image_rows=torch.arange(len(ids), device=ids.device), input_ids=ids,
                attention_mask=torch.ones_like(ids), labels=labels)


def medians(ways, repeats):
    """Median seconds of each way."""
    return [median(found) for found in turns(ways, repeats)]


def turns(ways, repeats):
    """For each way the seconds of all its runs; they take turns, after one untimed run each."""
    for way in ways:
        way()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    times = [[] for _ in ways]
    for _ in range(repeats):
        for way, found in zip(ways, times):
            begin = time.perf_counter()
            way()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            found.append(time.perf_counter() - begin)
    return times


if __name__ == '__main__':
    with readable_errors():
        main()
