r"""Ask a model about images, or map a large raster with it.

A vision-language model answers 14 tasks by text, structured JSON and a picture:

    python tools/predict.py harbor.png --model work_dirs/falcon --task REG_DET_OBB --prompt ship --out answers
    python tools/predict.py before.png --image2 after.png --model work_dirs/falcon --task PIX_CHG
    python tools/predict.py a.png b.png --model configs/falcon/tiny_mini.py --checkpoint falcon.pth --task IMG_CAP
    python tools/predict.py tiles --model work_dirs/falcon --task IMG_CLS --classes harbor river "tennis court"

--prompt fills the slot of the task: a class (IMG_CT, REG_DET_*, PIX_SEG), a description (REG_VG), a question (IMG_VQA)
or coordinates in pixels, x,y,... (REG_CLS_*, REG_CAP, PIX_CLS; before a minus with an equals sign: --prompt=-5,0,9,9).

Of a large georeferenced raster, the answers of all tiles become features of a map (.geojson, .gpkg):

    python tools/predict.py scene.tif --model work_dirs/falcon --task REG_DET_OBB --prompt harbor --out harbors.geojson

A scene classifier, such as a distilled student, names the class of each image, or maps a raster tile by tile:

    python tools/predict.py harbor.jpg --model configs/sembridge/r18_ms2rgb.py --checkpoint best_student.pth
    python tools/predict.py scene.tif --model configs/sembridge/r18_ms2rgb.py --checkpoint best_student.pth \
        --out landcover.tif --tile 64

A folder stands for the images in it; with a folder as --image2 for the pairs of one name. Each answer is printed as
soon as its batch is done, a JSON object on a line.
"""

import argparse
import contextlib
import json
import sys
from pathlib import Path

from mmengine.logging import MMLogger

from rstoolbox.apis import FalconInferencer, SceneInferencer
from rstoolbox.apis.falcon_inferencer import CONFIGS, as_dict
from rstoolbox.engine.config import resolve
from rstoolbox.engine.errors import check_output, count, read_config, readable_errors
from rstoolbox.heads import head_for
from rstoolbox.models.falcon import Falcon
from rstoolbox.registry import MODELS

RASTERS, VECTORS = ('.tif', '.tiff'), ('.geojson', '.json', '.gpkg')
FILES = (*RASTERS, *VECTORS, '.png', '.jpg', '.jpeg', '.shp', '.kml', '.csv', '.jsonl')
# Which options are of no use to the one or the other, or without a map.
ANSWERS = ('task', 'prompt', 'image2', 'classes', 'unconstrained', 'beams')
CLASSES = ('sensor', 'file_bands', 'probabilities')
MAPS = ('tile', 'stride', 'probabilities')


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', nargs='+', metavar='IMAGE')
    parser.add_argument('--model', '--config', required=True,
                        help='a config (with --checkpoint), or the folder of a vision-language model')
    parser.add_argument('--checkpoint', help="weights of the config's model")
    parser.add_argument('--out', metavar='PATH', help='write <image>_<task>.json and .png to this folder; or the map '
                        'of a raster, to .geojson or .gpkg, of a scene classifier to .tif')
    parser.add_argument('--show', action='store_true', help='open the pictures')
    parser.add_argument('--batch-size', type=count, help='default: 8, of a scene classifier 64')
    parser.add_argument('--device', help='cuda or cpu')
    parser.add_argument('--tile', type=count, help='side of the tiles of a map in pixels; of a scene classifier a tile '
                        'should show as much ground as an image of the training')
    parser.add_argument('--stride', type=count, help='pixels from tile to tile; of a scene classifier the side of the '
                        "map's cells")
    answers = parser.add_argument_group('vision-language models')
    answers.add_argument('--task', help='task tag, e.g. REG_DET_HBB')
    answers.add_argument('--prompt', help='what the task has to be told')
    answers.add_argument('--image2', nargs='+', help='PIX_CHG: the later date of each image')
    answers.add_argument('--classes', nargs='+', metavar='NAME',
                         help='the only class names that may be answered (IMG_CLS, REG_CLS_*, PIX_CLS)')
    answers.add_argument('--unconstrained', action='store_true', help='answers may break the grammar of the task')
    answers.add_argument('--beams', type=count, help='of the search for an answer (default: those of the model)')
    maps = parser.add_argument_group('scene classifiers')
    maps.add_argument('--sensor', help="whose bands the images have, by default that of the config's data set")
    maps.add_argument('--file-bands', nargs='+', metavar='BAND', help='names of the bands in the images')
    maps.add_argument('--probabilities', metavar='TIF', help='write the probability of each class here')
    args = parser.parse_args()
    with readable_errors():
        with contextlib.redirect_stdout(sys.stderr):  # where the log goes from now on
            MMLogger.get_current_instance()
            talks = is_falcon(args.model)
        is_map = writes_map(args, VECTORS if talks else RASTERS, parser)
        refuse(args, CLASSES if talks else ANSWERS,
               'is of no use to a ' + ('vision-language model' if talks else 'scene classifier'), parser)
        refuse(args, ('show',) if is_map else MAPS, f'is of no use {"to" if is_map else "without"} a map', parser)
        (ask if talks else classify)(args, is_map, parser)


def ask(args, is_map, parser):
    """Answers of a vision-language model."""
    if args.task is None:
        parser.error('a vision-language model needs --task, such as IMG_CAP')
    slots = read_slots(args.task, args.prompt)
    images, pairs = args.images, head_for(args.task).num_images == 2
    if bool(args.image2) != pairs:
        parser.error(f'{args.task} is about ' + ('two dates: name the later ones by --image2' if pairs else
                                                 'one date: leave --image2 out'))
    if pairs:
        if len(args.image2) != len(images):
            parser.error(f'--image2 names {len(args.image2)} images for {len(images)}')
        images = list(zip(images, args.image2))
    rules = dict(num_beams=args.beams) if args.beams else {}
    inferencer = FalconInferencer(args.model, args.checkpoint, args.device, constrain=not args.unconstrained, **rules)
    batch_size = args.batch_size or 8
    if is_map:
        scene, later = images[0] if pairs else (images[0], None)
        frame = inferencer.map(scene, args.task, args.out, later, args.tile, args.stride, batch_size, args.classes,
                               **slots)
        print(json.dumps(dict(map=args.out, features=len(frame))))
        return
    for sample in inferencer.answers(images, args.task, args.out, args.show, batch_size, classes=args.classes, **slots):
        print(json.dumps(as_dict(sample), ensure_ascii=False), flush=True)


def classify(args, is_map, parser):
    """Classes of images, or a map of one."""
    if args.checkpoint is None:
        parser.error(f"the config '{args.model}' describes a model without weights: give --checkpoint too")
    if is_map and args.tile is None:
        parser.error('a map needs --tile, the side of its tiles in pixels')
    inferencer = SceneInferencer(args.model, args.checkpoint, args.device, args.sensor, args.file_bands)
    batch_size = args.batch_size or 64
    if is_map:
        shares = inferencer.map(args.images[0], args.out, args.tile, args.stride, args.probabilities, batch_size)
        print(json.dumps(dict(map=args.out, classes={name: round(share, 2) for name, share in shares.items()}),
                         ensure_ascii=False))
        return
    for result in inferencer.predictions(args.images, args.out, args.show, batch_size):
        print(json.dumps(result, ensure_ascii=False), flush=True)


def is_falcon(model):
    """Whether a folder or a config is of a vision-language model; else the config is of something else."""
    path = Path(model)
    if path.is_dir() and (path / 'config.json').is_file():
        return True
    if path.is_dir() or ('::' not in model and path.suffix not in CONFIGS):
        raise ValueError(f"--model: '{model}' is neither the folder of a vision-language model (with a config.json) "
                         f'nor a config ({", ".join(CONFIGS)}). Weights alone are given as --checkpoint, beside the '
                         'config that they were trained with.')
    described = resolve(read_config(model)).model
    if not isinstance(described, dict) or not isinstance(described.get('type'), str):
        raise ValueError(f"The 'model' of '{model}' is no dict with a type, such as SceneClassifier.")
    return issubclass(MODELS.get(described['type']), Falcon)


def writes_map(args, suffixes, parser):
    """Whether --out names the file of a map."""
    suffix = Path(args.out or '').suffix.lower()
    is_map = suffix in suffixes
    if is_map and len(args.images) > 1:
        parser.error('a map is of one raster')
    if suffix in FILES and not is_map and not Path(args.out).is_dir():
        parser.error(f"--out: '{args.out}' is the name of a file; this model writes answers about images to a folder, "
                     f'and maps to a file that ends in {", ".join(suffixes)}')
    check_output('--out', args.out, folder=not is_map)
    return is_map


def refuse(args, options, why, parser):
    """End with the usage if one of the options is given."""
    for option in options:
        if getattr(args, option) not in (None, False):
            parser.error(f'--{option.replace("_", "-")} {why}')


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
