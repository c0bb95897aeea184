"""Keep compiled modules in build/: cookiecutter would copy what lies in the template's folder into every project."""

import os
import sys
from pathlib import Path

sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parents[2] / "build/pycache")
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
