import rstoolbox

project = 'rstoolbox'
author = 'The rstoolbox authors'
copyright = author
version = release = rstoolbox.__version__

extensions = ['myst_parser']
myst_enable_extensions = ['colon_fence', 'dollarmath']
myst_heading_anchors = 3
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'rstoolbox {version}'
