r"""Ask a vision-language model about images: text, structured JSON and a picture for any of the 14 tasks.

    python tools/predict.py harbor.png --model work_dirs/falcon --task REG_DET_OBB --prompt ship --out answers
    python tools/predict.py before.png --image2 after.png --model work_dirs/falcon --task PIX_CHG
    python tools/predict.py a.png b.png --model configs/falcon/tiny_mini.py --checkpoint falcon.pth --task IMG_CAP
    python tools/predict.py tiles --model work_dirs/falcon --task IMG_CLS --classes harbor river "tennis court"

A folder stands for the images in it; with a folder as --image2 for the pairs of one name. Each answer is printed as
soon as its batch is done, a JSON object on a line.

--prompt fills the slot of the task: a class (IMG_CT, REG_DET_*, PIX_SEG), a description (REG_VG), a question (IMG_VQA)
or coordinates in pixels, x,y,... (REG_CLS_*, REG_CAP, PIX_CLS).
"""

import argparse
import json

from rstoolbox.apis import FalconInferencer
from rstoolbox.apis.falcon_inferencer import as_dict
from rstoolbox.engine.errors import check_output, count, readable_errors
from rstoolbox.heads import head_for


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument('--image2', nargs='+', help='PIX_CHG: the later date of each image')
    parser.add_argument('--model', required=True, help='folder of a model, or a config (with --checkpoint)')
    parser.add_argument('--checkpoint', help="weights of the config's model")
    parser.add_argument('--task', required=True, help='task tag, e.g. REG_DET_HBB')
    parser.add_argument('--prompt', help='what the task has to be told')
    parser.add_argument('--classes', nargs='+', metavar='NAME',
                        help='the only class names that may be answered (IMG_CLS, REG_CLS_*, PIX_CLS)')
    parser.add_argument('--out', metavar='DIR', help='write <image>_<task>.json and .png here')
    parser.add_argument('--show', action='store_true', help='open the pictures')
    parser.add_argument('--unconstrained', action='store_true', help='answers may break the grammar of the task')
    parser.add_argument('--beams', type=count, default=3)
    parser.add_argument('--batch-size', type=count, default=8)
    parser.add_argument('--device', help='cuda or cpu')
    args = parser.parse_args()
    with readable_errors():
        check_output('--out', args.out, folder=True)
        slots = read_slots(args.task, args.prompt)
        images, pairs = args.images, head_for(args.task).num_images == 2
        if bool(args.image2) != pairs:
            parser.error(f'{args.task} is about ' + ('two dates: name the later ones by --image2' if pairs else
                                                     'one date: leave --image2 out'))
        if pairs:
            if len(args.image2) != len(images):
                parser.error(f'--image2 names {len(args.image2)} images for {len(images)}')
            images = list(zip(images, args.image2))
        ask = FalconInferencer(args.model, args.checkpoint, args.device, constrain=not args.unconstrained,
                               num_beams=args.beams)
        for sample in ask.answers(images, args.task, args.out, args.show, args.batch_size, classes=args.classes,
                                  **slots):
            print(json.dumps(as_dict(sample), ensure_ascii=False), flush=True)


def read_slots(task, text):
    """The slot of a task from the command line, coordinates as numbers."""
    names = head_for(task).slots
    if not names:
        if text is not None:
            raise ValueError(f'{task} takes no --prompt: it is about the whole image.')
        return {}
    if text is None:
        raise ValueError(f"{task} needs --prompt, its '{names[0]}'.")
    if names[0] not in ('bbox', 'quad', 'polygon'):
        return {names[0]: text}
    try:
        return {names[0]: [float(part) for part in text.replace(',', ' ').split()]}
    except ValueError:
        raise ValueError(f"--prompt of {task} is its '{names[0]}', numbers x,y,... in pixels, got '{text}'.") from None


if __name__ == '__main__':
    main()
