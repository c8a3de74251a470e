"""Which files are meant: by their names, by lists of names, and by what annotations call them."""

import shutil

import pytest
from PIL import Image

from commands import run_command
from rstoolbox.datasets.falcon.converters import DotaRecords, SceneFolderRecords, VocRecords

LINE = '8 6 40 6 40 30 8 30 ship 0\n'


def write_xml(folder, **named):
    """VOC files, each with the <filename> that is given."""
    folder.mkdir(exist_ok=True)
    for stem, name in named.items():
        (folder / f'{stem}.xml').write_text(
            f'<annotation><filename>{name}</filename><size><width>80</width><height>60</height></size><object>'
            f'<name>{stem}</name><bndbox><xmin>9</xmin><ymin>7</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>'
            '</annotation>')
    return folder


def counted(source, images):
    return [(record.images[0], record.category) for record in VocRecords(source, images, tasks=['IMG_CT'])]


@pytest.mark.parametrize('name', ['', 'a', 'a.jpg', 'c.png', 'a.png', 'D:/VOC/a.png'])
def test_a_voc_file_is_about_the_image_of_its_name(image, tmp_path, name):
    assert counted(write_xml(tmp_path / 'xml', a=name), image) == [('a.png', 'a')]


def test_a_voc_file_may_name_an_image_that_is_called_otherwise(image, tmp_path):
    source = write_xml(tmp_path / 'xml', P1='a.png')
    assert counted(source, image) == [('a.png', 'p1')]
    shutil.copy(image / 'a.png', image / 'P1.png')
    with pytest.raises(ValueError, match="P1.xml' is about '.*/P1.png' by its name and about '.*/a.png' by its <filen"):
        counted(source, image)
    (image / 'P1.png').unlink()
    with pytest.raises(ValueError, match="xml/a.xml' annotates '.*a.png', which '.*P1.xml' does already. Merge"):
        counted(write_xml(source, a='a.png'), image)
    (source / 'a.xml').unlink()
    with pytest.raises(FileNotFoundError, match="no image of '.*P1.xml' in '.*images', and it names none"):
        counted(write_xml(source, P1=''), image)


def test_an_image_is_not_chosen_among_two_of_one_name(image, tmp_path):
    Image.new('RGB', (80, 60)).save(image / 'a.jpg')
    (tmp_path / 'labelTxt').mkdir()
    (tmp_path / 'labelTxt/a.txt').write_text(LINE)
    with pytest.raises(ValueError, match="images/a.jpg' and 'a.png' are both images of the name 'a', which '.*labe"):
        list(DotaRecords(tmp_path / 'labelTxt', image))
    assert counted(write_xml(tmp_path / 'xml', a='a.png'), image) == [('a.png', 'a')]
    (image / 'a.jpg').rename(image / '.a.jpg')
    assert list(DotaRecords(tmp_path / 'labelTxt', image))


@pytest.mark.parametrize('lines, names', [
    ('a.v2\n', ['a.v2.png']), ('a.v2.png 1\na.xml', ['a.v2.png', 'a.png']), ('a\na.png\n./a -1\na\n', ['a.png']),
    ('JPEGImages/a.jpg', ['a.png'])])
def test_names_of_a_list_mean_one_image_once(image, tmp_path, lines, names):
    shutil.copy(image / 'a.png', image / 'a.v2.png')
    source = write_xml(tmp_path / 'xml', **{'a': '', 'a.v2': ''})
    (tmp_path / 'list.txt').write_text(lines)
    records = VocRecords(source, image, tasks=['IMG_CT'], names=tmp_path / 'list.txt')
    assert [record.images[0] for record in records] == names
    (tmp_path / 'list.txt').write_text('a\na.v3\n')
    with pytest.raises(FileNotFoundError, match="list.txt, line 2: '.*xml' has no file of the image 'a.v3', nearest"):
        list(records)


def test_scene_folders_are_all_classes(image, tmp_path):
    for name in ('lake/a.png', 'lake/._a.png', '.ipynb_checkpoints/a.png', 'river/below/a.png'):
        (tmp_path / 'scenes' / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image / 'a.png', tmp_path / 'scenes' / name)
    (tmp_path / 'scenes/river/a.webp').touch()
    records = SceneFolderRecords(tmp_path / 'scenes', tmp_path / 'scenes')
    with pytest.raises(FileNotFoundError, match="scenes/river' holds no image, .* Images end in .bmp, .jpeg"):
        list(records)
    shutil.rmtree(tmp_path / 'scenes/river')
    assert [(record.images, record.answer) for record in records] == [(['lake/a.png'], 'lake.')]
    shutil.rmtree(tmp_path / 'scenes/lake')
    with pytest.raises(FileNotFoundError, match="scenes' holds no folders of images"):
        list(records)


@pytest.mark.parametrize('kind, options, message', [
    ('scenes', ['--absent', '2', '--split', 'train'], 'scenes takes no --absent, --split'),
    ('masks', ['--classes', '1=roof', '2=car', '1=road'], "--classes calls the value 1 'roof' and 'road'"),
    ('dota', ['--classes', '1=roof'], 'dota takes no --classes')])
def test_options_of_another_kind_or_with_two_meanings_are_refused(tmp_path, kind, options, message):
    done = run_command('dataset_converters/make_records.py', kind, '.', '.', 'out.jsonl', *options, cwd=tmp_path)
    assert done.returncode == 2 and f'error: {message}' in done.stderr
