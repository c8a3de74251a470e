"""Packaging: what is installed, with which requirements, and how configs and tools travel along."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name):
    """The requirements in ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [bare for bare in (line.partition('#')[0].strip() for line in lines) if bare]


def version():
    """The version in ``rstoolbox/version.py``, read without importing the package."""
    values = {}
    exec((ROOT / 'rstoolbox' / 'version.py').read_text(encoding='utf-8'), values)
    return values['__version__']


setup(
    name='rstoolbox',
    version=version(),
    description='A modular remote-sensing toolbox in the OpenMMLab style',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',  # as mmengine, mmcv and mmpretrain in the versions that are required
    packages=find_packages(include=['rstoolbox', 'rstoolbox.*']),
    # mmengine looks for the configs of an installed package in <package>/.mim. In a checkout they are links.
    package_data={'rstoolbox': ['.mim/model-index.yml', '.mim/configs/**/*', '.mim/tools/**/*']},
    exclude_package_data={'rstoolbox': ['.mim/**/__pycache__/*', '.mim/**/*.pyc']},
    include_package_data=False,
    zip_safe=False,
    install_requires=requirements('runtime'),
    extras_require={
        'falcon': requirements('falcon'),
        'dense': requirements('dense'),
        'docs': requirements('docs'),
        'dev': requirements('tests'),
    },
)
