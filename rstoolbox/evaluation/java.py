"""The two Java programs that pycocoevalcap brings along, with bounded memory and an end to every process.

Its own wrappers leave that open: one writes its input into the installed package, which may be read-only, the other
ends its process only when the object is collected.
"""

import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pycocoevalcap.tokenizer.ptbtokenizer as ptb
from pycocoevalcap.meteor import meteor as meteor_module

MEMORY = '-Xmx1G'


def ptb_tokenize(*sides):
    """Split texts by the Penn Treebank tokenizer, in lower case and without punctuation.

    Args:
        *sides (dict): Texts by key, ``{key: [text, ...]}``; a text is a single line.

    Returns:
        list[dict]: The same with tokens joined by blanks.

    Raises:
        ChildProcessError: If there is no Java or it fails; with what it says.
    """
    places = [(side, key) for side, texts in enumerate(sides) for key in texts for _ in texts[key]]
    lines = [text for texts in sides for key in texts for text in texts[key]]
    jar = Path(ptb.__file__).with_name(ptb.STANFORD_CORENLP_3_4_1_JAR)
    with _java('-cp', str(jar), 'edu.stanford.nlp.process.PTBTokenizer', '-preserveLines', '-lowerCase') as process:
        output, _ = process.communicate('\n'.join(lines) + '\n')
        tokens = output.split('\n')[:len(lines)]
        if process.returncode or len(tokens) < len(lines):
            raise ValueError(f'the tokenizer split {len(tokens)} of {len(lines)} texts')
    result = [{key: [] for key in texts} for texts in sides]
    for (side, key), line in zip(places, tokens):
        result[side][key].append(' '.join(token for token in line.split() if token not in ptb.PUNCTUATIONS))
    return result


def meteor(references, captions):
    """Return METEOR 1.5 (Denkowski and Lavie, 2014), 0 to 1, of tokenized captions with one or more references each.

    Args:
        references (dict): ``{key: [text, ...]}``.
        captions (dict): ``{key: [text]}``.

    Raises:
        ChildProcessError: If there is no Java or it fails; with what it says.
    """
    jar = Path(meteor_module.__file__).with_name(meteor_module.METEOR_JAR)
    with _java('-jar', str(jar), '-', '-', '-stdio', '-l', 'en', '-norm') as process:
        statistics = [_ask(process, 'SCORE', *references[key], *captions[key]) for key in captions]
        print('EVAL', *statistics, sep=' ||| ', file=process.stdin, flush=True)
        scores = [process.stdout.readline() for _ in range(len(statistics) + 1)]  # one for each, then for all
        return float(scores[-1])


@contextmanager
def _java(*arguments):
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(['java', MEMORY, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=errors, encoding='utf-8')
        except OSError as error:
            raise ChildProcessError(f'There is no Java that runs on this machine ({error.strerror}).') from None
        try:
            yield process
        except (OSError, ValueError) as error:
            process.kill()
            process.wait()
            errors.seek(0)
            said = errors.read().decode(errors='replace').strip().splitlines() or ['nothing']
            raise ChildProcessError(f'Java stopped early ({error}). It said: {said[-1]}') from None
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            with suppress(OSError):  # what could not be written any more
                process.stdin.close()


def _ask(process, *parts):
    print(*(part.replace('|||', ' ') for part in parts), sep=' ||| ', file=process.stdin, flush=True)
    answer = process.stdout.readline()
    if not answer:
        raise ValueError('METEOR gave no answer')
    return answer.strip()
