"""The door of the room."""

import subprocess
import sys


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, matinee.evaluation; print(*{'torch', 'sklearn', 'pyarrow', 'matplotlib', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
