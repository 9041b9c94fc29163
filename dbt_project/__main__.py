"""dbt on this project, from any folder: starts the database, then runs dbt with what follows.

python -m dbt_project build
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import database
import embedded

PROJECT = Path(__file__).parent


def _leave(signum: int, frame: FrameType | None) -> None:
    """End at once: dbt would show where in its code it was. What was not finished is undone."""
    print("\ninterrupted: run it again to complete what is missing", file=sys.stderr, flush=True)
    os._exit(128 + signum)


def _refuse_odd_name(name: str) -> None:
    """Raise DatabaseError for a database whose name dbt puts into its SQL as it stands."""
    if name != name.strip() or set(name) & set("'\"%"):
        raise database.DatabaseError(
            f"dbt cannot work in the database {name!r}: rename it to one without quotes, % and "
            "outer spaces"
        )


def main() -> int:
    """Run dbt and leave with its status: 1 where a node failed, 2 where it could not run."""
    signal.signal(signal.SIGINT, _leave)
    try:
        database.hand_over()
        _refuse_odd_name(os.environ["PGDATABASE"])
        os.environ.setdefault("DBT_PROJECT_DIR", str(PROJECT))
        os.environ.setdefault("DBT_PROFILES_DIR", str(PROJECT))
        if not embedded.IS_CHECKOUT:  # the package may be anybody's
            os.environ.setdefault("DBT_TARGET_PATH", str(embedded.FOLDER.parent / "target"))
            os.environ.setdefault("DBT_LOG_PATH", str(embedded.FOLDER.parent / "logs"))
        from dbt.cli.main import cli  # slow to import, and not needed to say that nothing started

        cli(sys.argv[1:], prog_name="python -m dbt_project")
    except database.DatabaseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
