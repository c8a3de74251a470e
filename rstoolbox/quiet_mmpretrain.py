"""mmpretrain without what its import prints, which would stand in the output of commands that print JSON."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    import mmpretrain.datasets  # noqa: F401
