"""The code behind the GAN book: pictures in, a trained and measured generator out.

Everything a notebook needs hangs on this name: ``import gan_book as gb``. Importing loads almost
nothing; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "GanBookError": "errors",
    "load_images": "data",
    "ImageSet": "data",
    "to_float": "data",
    "to_uint8": "data",
    "recipe": "recipes",
    "Recipe": "recipes",
    "train": "runs",
    "load_run": "runs",
    "Run": "runs",
    "load_model": "model",
    "Model": "model",
    "evaluate": "measuring",
    "report": "run_page",
    "extractor": "features",
    "show": "plots",
    "sheet": "plots",
    "curves": "plots",
    "grid": "plots",
    "film": "animation",
    "setup": "session",
    "tier": "session",
    "by_tier": "session",
    "check": "claims",
    "save_result": "results",
    "load_results": "results",
    "data_path": "results",
}
# No name here may be that of a module: importing the module would put it in the name's place.
__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604 (the keys are text)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module 'gan_book' has no attribute '{name}'") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
