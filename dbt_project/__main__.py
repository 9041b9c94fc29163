"""dbt on this project, from any folder: starts the database, then runs dbt with what follows.

python -m dbt_project build
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from psycopg2.extensions import parse_dsn

import database
import embedded

PROJECT = Path(__file__).parent
VARIABLES = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
}  # fmt: skip


def _leave(signum: int, frame: FrameType | None) -> None:
    """End at once: dbt would show where in its code it was. What was not finished is undone."""
    print("\ninterrupted: run it again to complete what is missing", file=sys.stderr, flush=True)
    os._exit(128 + signum)


def main() -> int:
    """Run dbt and leave with its status: 1 where a node failed, 2 where it could not run."""
    signal.signal(signal.SIGINT, _leave)
    try:
        if database.is_embedded() or os.environ.get("DATABASE_URL"):
            place = parse_dsn(database.url())
            os.environ.update({VARIABLES[name]: place[name] for name in VARIABLES if name in place})
            os.environ["DATABASE_URL"] = ""
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
