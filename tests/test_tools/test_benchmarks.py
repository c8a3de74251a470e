"""The benchmarks as a user runs them, tiny: what they print holds together, whatever the clock says."""

import importlib.util
import json

import pytest

from commands import ROOT, run_command

THIN = [f'{side}.{key}' for side in ('teacher', 'student')
        for key in ('backbone.stem_channels=8', 'backbone.base_channels=8', 'head.in_channels=64')]
SMALL = ['--students', '40', '--gallery', '200', '--loop-samples', '20', '--large-gallery', '300', '--large-students',
         '30', '--repeats', '1']


@pytest.fixture
def benchmark(tmp_path):
    """A function that runs a benchmark by name and returns the finished process."""

    def run(name, *arguments):
        return run_command(f'benchmarks/{name}', *arguments, cwd=tmp_path)

    return run


@pytest.fixture
def options(tmp_path_factory):
    """Thin networks over eight images a class."""
    root = tmp_path_factory.getbasetemp() / 'mini_of_benchmarks'
    return ['--cfg-options', f'data_root={root}', 'images_per_class=8', 'num_workers=0', 'log_level=WARNING', *THIN]


def printed(done):
    """The JSON object that a benchmark printed, which holds numbers of zero or more."""
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    numbers = [value for value in result.values() if isinstance(value, (int, float))]
    assert numbers and all(value >= 0 for value in numbers)
    return result


def test_matching(benchmark):
    result = printed(benchmark('matching.py', '--json', *SMALL))
    assert result.keys() == {'ratio', 'seconds', 'loop_seconds', 'loop_samples', 'students', 'gallery', 'classes',
                             'same_indices', 'large_seconds', 'large_growth_mib', 'large_gallery', 'large_students',
                             'large_input_mib'}
    assert result['same_indices'] is True
    assert result['ratio'] == pytest.approx(result['loop_seconds'] / result['seconds']) and result['ratio'] > 0
    assert (result['students'], result['gallery'], result['classes'], result['loop_samples']) == (40, 200, 10, 20)
    assert result['large_input_mib'] == pytest.approx(300 * (10 * 4 + 8) / 2**20)  # float32 logits and an int64 label


def test_loading(benchmark, options):
    result = printed(benchmark('loading.py', ROOT / 'configs/sembridge/r18_ms2rgb.py', '--json', '--epochs', 1,
                               *options))
    assert result.keys() == {'wait_share', 'first_epoch_wait_share', 'wait_seconds', 'epoch_seconds', 'images',
                             'images_per_second_training', 'images_per_second_loader', 'batch_size', 'num_workers',
                             'device', 'config'}
    assert 0 < result['wait_share'] < 1 and 0 < result['first_epoch_wait_share'] < 1
    assert result['wait_share'] == pytest.approx(result['wait_seconds'] / result['epoch_seconds'])
    assert result['images_per_second_training'] == pytest.approx(
        result['images'] / (result['epoch_seconds'] - result['wait_seconds']))
    assert (result['images'], result['batch_size'], result['num_workers']) == (24, 32, 0)  # three of eight for training


def test_student_epoch(benchmark, options):
    result = printed(benchmark('student_epoch.py', '--config', ROOT / 'configs/sembridge/r18_ms2rgb.py', '--json',
                               '--epochs', 3, '--rounds', 1, *options))
    assert result.keys() == {'seconds_per_epoch', 'seconds_per_rematch', 'rematches', 'epochs_of_schedule',
                             'gallery_over_plain', 'in_the_loop_over_gallery'}
    seconds = result['seconds_per_epoch']
    assert seconds.keys() == {'plain', 'gallery', 'in_the_loop'} and min(seconds.values()) > 0
    assert (result['rematches'], result['epochs_of_schedule']) == (3, 14)
    matching = result['seconds_per_rematch'] * 3 / 14
    assert result['gallery_over_plain'] == pytest.approx((seconds['gallery'] + matching) / seconds['plain'])
    assert result['in_the_loop_over_gallery'] == pytest.approx(
        (seconds['in_the_loop'] + matching) / (seconds['gallery'] + matching))


def test_falcon(benchmark):
    result = printed(benchmark('falcon.py', '--json', '--scenes', 8, '--prompts', 2, '--tokens', 6, '--batch-size', 3,
                               '--steps', 2, '--repeats', 1))
    assert result.keys() == {'generation', 'training', 'constraint', 'threads', 'geometry', 'image_size', 'scenes',
                             'prompts', 'beams', 'tokens', 'batch_size', 'steps', 'repeats', 'device'}
    answers, steps, held = (result[name] for name in ('generation', 'training', 'constraint'))
    # Masked padding changes no answer; one that differs would be a matter of rounding.
    assert answers['same_answers'] >= 0.5
    assert answers['ratio'] == pytest.approx(answers['images_per_second'] / answers['published_images_per_second'])
    assert steps['ratio'] == pytest.approx(steps['samples_per_second'] / steps['published_samples_per_second'])
    assert steps['longest_ratio'] == pytest.approx(steps['samples_per_second'] / steps['longest_samples_per_second'])
    assert held.keys() == {'overhead', 'seconds', 'free_seconds'}  # the median of ratios, not the ratio of medians
    assert min(answers['ratio'], steps['ratio'], steps['longest_ratio'], held['seconds']) > 0


def test_ways_take_turns_and_all_their_runs_but_the_first_are_timed():
    spec = importlib.util.spec_from_file_location('falcon_benchmark', ROOT / 'tools/benchmarks/falcon.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    ran = []
    times = tool.turns([lambda: ran.append('held'), lambda: ran.append('free')], repeats=3)
    assert ran == ['held', 'free'] * 4 and [len(found) for found in times] == [3, 3] and min(map(min, times)) >= 0


def test_record_store(benchmark, tmp_path):
    result = printed(benchmark('record_store.py', '--json', '--records', 1000, '--reads', 20, '--folder', tmp_path))
    assert result.keys() == {'records', 'reads', 'convert_seconds', 'store_gib', 'open_seconds', 'read_microseconds',
                             'resident_mib', 'private_mib', 'workers_mib'}
    assert (result['records'], result['reads']) == (1000, 20) and result['store_gib'] > 0
    # A process maps no more of the store than there is.
    assert result['resident_mib'] - result['private_mib'] < 1024 * result['store_gib'] + 8
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('name', 'arguments', 'message'), [
    ('matching.py', ['--students', '0'], "argument --students: '0' is no whole number from 1 on"),
    ('matching.py', ['--classes', '50', *SMALL, '--gallery', '20'], 'error: '),
    ('loading.py', ['--epochs', '0'], "argument --epochs: '0' is no whole number from 1 on"),
    ('loading.py', ['nowhere.py'], "error: There is no config file 'nowhere.py'"),
    ('student_epoch.py', ['--epochs', '2'], '--epochs 2: at least 3 are needed'),
    ('student_epoch.py', ['--cfg-options', 'foo'], "'foo' is not of the form KEY=VALUE"),
    ('student_epoch.py', ['--config', ROOT / 'configs/_base_/default_runtime.py'], "describes no 'model'"),
    ('falcon.py', ['--scenes', '8', '--prompts', '9'], '--scenes 8 has 8 images and '),
    ('record_store.py', ['--records', '0'], "argument --records: '0' is no whole number from 1 on"),
    ('record_store.py', ['--folder', 'nowhere'], "--folder 'nowhere' is no folder that is there"),
])
def test_a_bad_argument_ends_in_one_line(benchmark, name, arguments, message):
    done = benchmark(name, *arguments)
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1] and 'Traceback' not in done.stderr
