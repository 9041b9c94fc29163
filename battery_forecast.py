"""The installed package's one command; each of its words is a module of the checkout.

battery-forecast load PATH
"""

import runpy
import sys

MODULES = {
    "load": ["loader"],
    "build": ["dbt_project", "build"],
    "train": ["model.train"],
    "predict": ["model.predict"],
    "serve": ["uvicorn", "api.main:app"],
}


def main() -> int:
    """Run the module that the first word names, as `python -m` does, with what follows it."""
    word, *rest = sys.argv[1:] or ["--help"]
    if word not in MODULES:
        print(f"usage: battery-forecast {'|'.join(MODULES)} …\n")
        for name, command in MODULES.items():
            print(f"  {name:<8} python -m {' '.join(command)}")
        return 0 if word in ("-h", "--help") else 2
    module, *first = MODULES[word]
    sys.argv = [sys.argv[0], *first, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
