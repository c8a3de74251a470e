import json

import pytest

from commands import run_command


def _score(*arguments):
    return run_command('analysis/score_predictions.py', *arguments, PATH='')


def _lines(path, *answers):
    path.write_text(''.join(json.dumps(dict(task='IMG_CLS', answer=answer, gt=truth)) + '\n'
                            for answer, truth in answers))
    return path


@pytest.mark.parametrize('variant, f1', [('sound', 250 / 3), ('as_released', 500 / 9)])
def test_a_dump_becomes_flat_json_and_a_table(tmp_path, variant, f1):
    path = _lines(tmp_path / 'dump.jsonl', ('river.', 'river.'), ('lake.', 'beach.'), ('beach.', 'beach.'))
    done = _score(path, '--variant', variant, '--out', tmp_path / 'out.json')
    assert done.returncode == 0, done.stderr
    assert 'IMG_CLS' in done.stdout and f'{f1:.2f}' in done.stdout
    scores = json.loads((tmp_path / 'out.json').read_text())
    assert scores['variant'] == variant and scores['IMG_CLS/num_samples'] == 3
    assert scores['IMG_CLS/f1'] == pytest.approx(f1)
    assert scores['IMG_CLS/per_class/river/recall'] == 100
    assert not any(isinstance(value, dict) for value in scores.values())


def test_what_cannot_be_scored_ends_with_one_message(tmp_path):
    (tmp_path / 'bad').write_text('{"task": "IMG_CLS", "answer": "a", "gt": "b"}\n{"task": "IMG_CLS", "answer": "a"}\n')
    for arguments, message in (((tmp_path / 'bad',), "bad, line 2 has no 'gt'"),
                               ((tmp_path / 'absent',), 'There is no file of predictions at')):
        done = _score(*arguments, '--out', tmp_path / 'out.json')
        assert done.returncode == 1 and message in done.stderr
        assert 'Traceback' not in done.stderr and not (tmp_path / 'out.json').exists()
    done = _score(_lines(tmp_path / 'good', ('a', 'a')), '--out', tmp_path)
    assert done.returncode == 1 and f"error: --out: '{tmp_path}' is a folder" in done.stderr
