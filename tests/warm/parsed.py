"""What dbt parses is parsed once for all databases of the tests: a second or two of each run."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dbt.artifacts.resources.base import FileHash
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest, ManifestStateCheck
from dbt.parser.manifest import ManifestLoader
from dbt_common.clients.jinja import template_cache

from tests.warm import ROOT

CHECK = "build_manifest_state_check"


class Parsed:
    """What dbt has parsed for the first database of the tests, for the others.

    Only the database's name tells them apart, and all names are of one length.
    """

    def __init__(self) -> None:
        self._content, self._name = b"", b""
        self._check: Callable[[ManifestLoader], ManifestStateCheck] = getattr(ManifestLoader, CHECK)
        setattr(ManifestLoader, CHECK, lambda it: self._but_for_the_name(it))

    def lay_ready(self, command: list[str], environment: dict[str, str], **_: Any) -> None:
        """Put it where dbt looks for it, if this is dbt, on a database of the tests."""
        name = re.search(r"/(test_\d+_\d+)(\?|$)", environment.get("DATABASE_URL", ""))
        if command[0] != "dbt" or "--target-path" not in command or name is None:
            return
        target = command[command.index("--target-path") + 1]
        file = ROOT / "dbt_project" / target / "partial_parse.msgpack"
        if file.exists() and name[1].encode() in file.read_bytes():
            return
        file.unlink(missing_ok=True)  # of another database
        if not self._content:
            self._parse(target, environment)
            if not file.exists():
                return
            self._content, self._name = file.read_bytes(), name[1].encode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self._content.replace(self._name, name[1].encode()))

    def _parse(self, target: str, environment: dict[str, str]) -> None:
        """Have dbt parse in this process, so that it has made what it makes at first use, too.

        Its static parser has threads, which no fork has: that is left to the forked.
        """
        own = dict(os.environ)
        os.environ |= environment
        folders = ["--project-dir", "dbt_project", "--target-path", target]
        made = dbtRunner().invoke(["--quiet", "--no-static-parser", "parse", *folders])
        if isinstance(made.result, Manifest):
            for macro in made.result.macros.values():
                template_cache.get_node_template(macro)
        os.environ.clear()
        os.environ |= own

    def _but_for_the_name(self, loader: ManifestLoader) -> ManifestStateCheck:
        """What must be alike for dbt to use what it parsed before."""
        login = loader.root_project.credentials
        rest = [it for it in login.connection_info() if it[0] != "database"]
        return replace(self._check(loader), profile_hash=FileHash.from_contents(repr(rest)))
