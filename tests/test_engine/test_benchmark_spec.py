"""A spec stands for the right runs, and what is wrong with one is said before any starts."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rstoolbox.engine.benchmark import read_spec
from rstoolbox.engine.config import ConfigError, resolve

ROOT = Path(__file__).resolve().parents[2]
SPEC = """
datasets = dict(mini=dict(config='rstoolbox::sembridge/r18_ms2rgb.py', options=dict(max_epochs=3)))
pairs = dict(same={{}}, thin={{'student.backbone.base_channels': 32, 'student.head.in_channels': 256}})
methods = dict(kd=dict(type='KD', tau=3.), sp=dict(type='SP'), rkd=dict(type='RKD', loss_weight=0.5))
seeds = [3, 5]
options = dict(max_epochs=2, batch_size=16)
{}
"""


@pytest.fixture
def spec(tmp_path):
    """A function that writes a spec, with further lines, and returns its path."""

    def write(lines=''):
        path = tmp_path / 'spec.py'
        path.write_text(SPEC.format(lines))
        return str(path)

    return write


def test_a_packaged_spec_is_read():
    assert {run.dataset for run in read_spec('rstoolbox::benchmarks/mini.py')} == {'mini'}


def test_every_combination_is_one_run(spec):
    runs = read_spec(spec())
    assert len({run.name for run in runs}) == len({run.key for run in runs}) == len(runs) == 2 * 2 * (1 + 3 * 2)
    assert [run.seed for run in runs] == [3] * 14 + [5] * 14
    assert runs[0].name == 'mini/same/none/seed3' and 'mini/thin/rkd+sembridge/seed5' in {run.name for run in runs}
    for run in runs:
        assert run.cfg.randomness.seed == run.seed and run.cfg.max_epochs == 3 and run.cfg.batch_size == 16
        assert run.cfg.student.backbone.get('base_channels') == (32 if run.pair == 'thin' else None)


def test_a_spec_inherits_from_another(spec):
    base = Path(spec('width = 32\noptions = dict(batch_size=width)'))
    child = base.with_name('child.py')
    child.write_text("_base_ = './spec.py'\nseeds = [7]\n")
    assert {(run.seed, run.cfg.batch_size) for run in read_spec(str(child))} == {(7, 32)}
    child.write_text("_base_ = './spec.py'\nseedz = [7]\n")
    with pytest.raises(ConfigError, match="nothing reads 'seedz'. Did you mean 'seeds'"):
        read_spec(str(child))


OWN_LOSS = """
from rstoolbox.models import TransferLoss
from rstoolbox.registry import TRANSFER_LOSSES

@TRANSFER_LOSSES.register_module(name='{0}')
class OwnLoss(TransferLoss):
    def compare(self, student, teacher, labels, progress):
        return (student['logits'] - teacher['logits']).abs().mean()
"""


def test_a_method_of_ones_own_is_imported_by_the_spec_or_by_the_config(spec, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ('loss_of_spec', 'loss_of_config'):
        (tmp_path / f'{name}.py').write_text(OWN_LOSS.format(name))
    (tmp_path / 'own.py').write_text("_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\n"
                                     "custom_imports = dict(imports='loss_of_config')\n")
    lines = (f"datasets = dict(own=dict(config='{tmp_path}/own.py'))\npairs = dict(same={{{{}}}})\n"
             "methods = dict(own=dict(type='{}'))\n")
    assert len(read_spec(spec(lines.format('loss_of_config')))) == 2 * 3
    runs = read_spec(spec(lines.format('loss_of_spec') + "custom_imports = dict(imports=['loss_of_spec'])"))
    # What trains a run reads its config alone.
    assert all(run.cfg.custom_imports.imports == ['loss_of_config', 'loss_of_spec'] for run in runs)


def test_a_method_takes_the_place_of_kd(spec):
    runs = {run.name: resolve(run.cfg) for run in read_spec(spec())}
    none, plain, bridged = (runs[f'mini/same/{name}/seed3'] for name in ('none', 'sp', 'sp+sembridge'))
    assert none.model.type == 'SceneClassifier' and [hook.type for hook in none.custom_hooks] == ['CostHook']
    assert none.train_dataset.type == 'MiniS2S'
    assert plain.model.losses.to_dict() == dict(sp=dict(type='SP')) and plain.model.start is None
    assert [hook.type for hook in plain.custom_hooks] == ['CostHook']
    # lambda_1 = 0.1 of SemBridge times the loss's own weight, be it its default
    assert bridged.model.losses.sp.to_dict() == dict(type='SP', loss_weight=pytest.approx(300.))
    assert bridged.model.losses.ska.loss_weight == 0.9
    assert runs['mini/same/rkd+sembridge/seed3'].model.losses.rkd.loss_weight == pytest.approx(0.05)
    assert [hook.type for hook in bridged.custom_hooks] == ['StudentFriendlyMatchingHook', 'CostHook']


def test_a_loss_of_maps_has_the_teacher_in_the_loop(spec):
    runs = {run.name: run.cfg for run in read_spec(spec())}
    for name in ('sp', 'sp+sembridge', 'rkd', 'rkd+sembridge'):
        cfg = runs[f'mini/same/{name}/seed3']
        assert (cfg.model.gallery is None) == cfg.train_dataset.read_teacher == name.startswith('sp')
    # Re-matching asks the gallery all the same.
    assert runs['mini/same/sp+sembridge/seed3'].custom_hooks[0].gallery == '${artifacts.gallery}'


def test_options_of_the_command_win(spec):
    runs = read_spec(spec(), {'max_epochs': 9}, amp=True)
    assert {run.cfg.max_epochs for run in runs} == {9} and all(run.amp for run in runs)
    assert not {run.key for run in runs} & {run.key for run in read_spec(spec())}


@pytest.mark.parametrize('lines, command, expected', [
    ("options = {'matching.start': 3}\npairs = dict(same=dict(matching=dict(start=1, interval=1, growth=0)))",
     {'matching.start': 5}, ('matching.start', 5)),
    ("options = {'matching.start': 3}\npairs = dict(same={'matching.start': 7})\n"
     "datasets['mini']['options'] = dict(matching=dict(start=1, interval=1, growth=0))", {}, ('matching.start', 7)),
    ("options = {'optim_wrapper.optimizer.lr': 5e-3}\npairs = dict(same=dict(learning_rate=2e-3))",
     {'optim_wrapper.optimizer.lr': 7e-3}, ('learning_rate', 7e-3))])
def test_the_stronger_option_wins_however_it_names_a_setting(spec, lines, command, expected):
    key, value = expected
    for run in read_spec(spec(lines), command):
        assert OmegaConf.select(OmegaConf.create(resolve(run.cfg).to_dict()), key) == value


def test_an_option_that_changes_nothing_makes_no_other_run(spec):
    keys = {run.key for run in read_spec(spec())}
    assert {run.key for run in read_spec(spec(), {'batch_size': 16})} == keys
    assert not {run.key for run in read_spec(spec(), {'batch_size': 8})} & keys


def test_what_other_losses_refer_to_is_not_settled_before_the_seed(spec, tmp_path):
    (tmp_path / 'own.py').write_text("_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\n"
                                     "model = dict(losses=dict(more=dict(type='KD', tau='${randomness.seed}')))\n")
    lines = f"datasets = dict(own=dict(config='{tmp_path}/own.py'))\npairs = dict(same={{}})"
    runs = {run.name: resolve(run.cfg) for run in read_spec(spec(lines), {'randomness.deterministic': True})}
    assert all(run.randomness.deterministic for run in runs.values())
    assert [runs[f'own/same/kd+sembridge/seed{seed}'].model.losses.more.tau for seed in (3, 5)] == [3, 5]


@pytest.mark.parametrize('losses, lambda_1', [
    ("lam = 0.2\nmodel = dict(losses=dict(kd=dict(loss_weight='${lam}')))", 0.2),
    ("model = dict(losses=dict(kd=dict(_delete_=True, type='KD', tau=3.)))", 1.),
    ("every = dict(kd=dict(type='KD', loss_weight=0.3), ska=dict(type='SKA'))\nmodel = dict(losses='${every}')", 0.3)])
def test_lambda_1_is_read_however_the_config_writes_it(spec, tmp_path, losses, lambda_1):
    (tmp_path / 'own.py').write_text(f"_base_ = 'rstoolbox::sembridge/r18_ms2rgb.py'\n{losses}\n")
    lines = f"datasets = dict(own=dict(config='{tmp_path}/own.py'))\npairs = dict(same={{}})"
    runs = {run.name: resolve(run.cfg) for run in read_spec(spec(lines))}
    found = runs['own/same/rkd+sembridge/seed3'].model.losses
    assert found.rkd.loss_weight == pytest.approx(0.5 * lambda_1) and set(found) == {'rkd', 'ska'}


@pytest.mark.parametrize('name, number', [('mini', 2 * 5), ('real', 2 * 3 * 15),
                                          ('real_small_nets', 2 * 2 * 3 * 15)])
def test_the_shipped_benchmarks_can_be_read(name, number):
    assert len(read_spec(ROOT / f'configs/benchmarks/{name}.py')) == number


@pytest.mark.parametrize('lines, message', [
    ("methods = dict(kd=dict(type='KDD'))", r"methods.kd: 'KDD' is not in the registry(.|\n)*Nearest names: KD"),
    ("methods = dict(kd=dict(type='KD', tua=3.))", r"takes no argument 'tua'.*Did you mean 'tau'"),
    ("methods = dict(kd=dict(type='KD', tau=0.))", 'methods.kd: tau of KD must be above 0'),
    ('methods = dict(kd=dict(tau=3.))', 'methods.kd names no type'),
    ("methods = dict(ska=dict(type='KD'))", "cannot be called 'ska'"),
    ("methods = {1: dict(type='KD')}", 'a method cannot be called 1; .* a letter first'),
    ("datasets['mini']['methods'] = dict(rk=None)", "mini.methods: there is no method 'rk' .*Did you mean 'rkd'"),
    ("datasets['mini']['methods'] = dict(rkd=3)", 'datasets.mini.methods.rkd = 3, expected a dict'),
    ("datasets['mini']['methods'] = dict(rkd=dict(type='RDK'))", r"datasets.mini.methods.rkd: 'RDK' is not"),
    ("pairs = dict(one={'student.backbone.dept': 34})", r"pair 'one': .*Did you mean 'student.backbone.depth'"),
    ("pairs = {'a/b': {}}", "'a/b', which is to be a folder's name"),
    ('seeds = [0, 1.5]', r'seeds.1 = 1.5, expected a whole number'),
    ("seeds = ['0']", r"seeds.0 = '0', expected a whole number"),
    ('seeds = [True]', r'seeds.0 = True, expected a whole number'),
    ('seeds = [4, 4]', 'seed 4 stands there twice'),
    ('seeds = []', 'seeds must be there'),
    ('seed = [1]', "nothing reads 'seed'. Did you mean 'seeds'"),
    ('options = [1]', r'options = \[1\], expected a dict'),
    ("options = dict(custom_hooks='${rows}')", 'custom_hooks is the reference .*; write a list'),
    ('options = dict(rows=3)', 'rows = 3 .*: expected a dict'),
    ('options = dict(max_epochs=0)\ndatasets["mini"].pop("options")', 'max_epochs = 0 .*expected a whole number'),
    ("datasets = dict(mini=dict(config='x', options=[1]))", r'datasets.mini.options = \[1\], expected a dict'),
    ("datasets = dict(mini=dict(confg='x'))", "datasets.mini has no 'confg'. Did you mean 'config'"),
    ("datasets = dict(mini=dict(config='rstoolbox::sembridge/r18_ms2rbg.py'))", r'Nearest: sembridge/r18_ms2rgb.py'),
    ("datasets = dict(mini=dict(config='rstoolbox::kd/kd_r18_r18_mini_ms2rgb.py'))", 'no experiment with the rows'),
    ("methods = dict(kd=dict(type='KD', tau=[3.]))", r'methods.kd: tau of KD must be above 0 and finite, got \[3.0\]'),
    ("methods = dict(ls=dict(type='LSKD', loss='KD'))", 'spec.py, methods.ls: loss of LSKD is the config of'),
    ('1 +', r'cannot be read: .*spec.py, line 7 is no Python \(.*\): 1 \+'),
    ('max_epochs = epochs', r'cannot be read: .*spec.py, line 7: NameError: '),
    ('options = {3: 4}', 'an option is a path of keys with dots between, got 3'),
    ("options = {'randomness.seed': 7}", "'randomness.seed' has no use: every run has its seed from the spec's"),
    ("pairs = dict(one={'student.backbone': None})", 'student.backbone = None, expected a dict with a type'),
    ("pairs = dict(one={'teacher.head': None})", 'teacher.head = None, expected a dict with a type'),
    ('custom_imports = dict(import_=[1])', r"custom_imports is to be a dict\(imports=\['module'\]\): got .* 'import_'"),
    ("custom_imports = ['rstoolbox']", r"custom_imports is to be a dict\(imports=\['module'\]\): argument"),
    ("custom_imports = dict(imports=['no_such_losses'])", 'custom_imports: .*no_such_losses.* on PYTHONPATH')])
def test_what_is_wrong_is_said_with_its_place(spec, lines, message):
    with pytest.raises(ConfigError, match=message):
        read_spec(spec(lines))


MULTI = """
_base_ = ['{parts}/datasets/m2s_gl.py', '{parts}/models/r18_r18.py', '{parts}/distillers/sembridge.py',
          '{parts}/schedules/s2s.py']
"""
SOFT = "soft=dict(type='DKD'), mse=dict(type='LogitsMSE'), ct=dict(type='CTKD')"


def test_methods_that_take_no_teacher_of_several_labels_are_named_before_anything_trains(spec, tmp_path):
    (tmp_path / 'multi.py').write_text(MULTI.format(parts=ROOT / 'configs/_base_'))
    lines = f"datasets = dict(gl=dict(config='{tmp_path}/multi.py'))\nmethods = dict({{}})\npairs = dict(same={{{{}}}})"
    with pytest.raises(ConfigError, match=(
            "data set 'gl', pair 'same': methods: loss 'soft': DKD, loss 'ct': CTKD take a teacher of one label an "
            'image.* Losses of such logits are BinaryKD, LogitsMSE')):
        read_spec(spec(lines.format(SOFT)))
    assert len(read_spec(spec(lines.format("kd=dict(type='BinaryKD'), at=dict(type='AT')")))) == 2 * (1 + 2 * 2)


def test_a_data_set_changes_methods_and_leaves_some_out(spec, tmp_path):
    (tmp_path / 'multi.py').write_text(MULTI.format(parts=ROOT / 'configs/_base_'))
    own = "dict(kd=dict(type='BinaryKD', tau=2.), dkd=None)"
    runs = read_spec(spec(f"datasets['gl'] = dict(config='{tmp_path}/multi.py', methods={own})\n"
                          "methods = dict(kd=dict(type='KD'), dkd=dict(type='DKD'), mse=dict(type='LogitsMSE'))\n"
                          'pairs = dict(same={})\nseeds = [1]'))
    found = {(run.dataset, run.method, run.cfg.model.losses[run.method].type)
             for run in runs if run.method != 'none'}
    assert found == {('mini', 'kd', 'KD'), ('mini', 'dkd', 'DKD'), ('mini', 'mse', 'LogitsMSE'),
                     ('gl', 'kd', 'BinaryKD'), ('gl', 'mse', 'LogitsMSE')}


def test_a_method_that_needs_more_maps_says_what_to_set_and_takes_that(spec):
    lines = "methods = dict(svd=dict(type='KDSVD'))\npairs = dict(same={})"
    with pytest.raises(ConfigError, match=r"methods: loss 'svd': KDSVD .* at least two of both sides.* Here: "
                       r'student.backbone.out_indices=\(0, 1, 2, 3\), teacher.backbone.out_indices=\(0, 1, 2, 3\)'):
        read_spec(spec(lines))
    deep = {f'{side}.backbone.out_indices': (0, 1, 2, 3) for side in ('student', 'teacher')}
    assert len(read_spec(spec(lines.format(deep)))) == 2 * 3


@pytest.mark.parametrize('path, message', [
    ('nowhere.py', "no config file 'nowhere.py' .* Specs that came along are in configs/benchmarks"),
    (str(ROOT / 'configs/benchmarks/mimi.py'), 'Nearest: mini.py'),
    ('rstoolbox::benchmarks/mimi.py', 'Nearest: benchmarks/mini.py')])
def test_no_such_spec(path, message):
    with pytest.raises(ConfigError, match=message):
        read_spec(path)
