"""The dashboards are what Grafana says a dashboard is: they have its published types.

`make contract` installs the package `@grafana/schema` into `.venv-contract`.
"""

from pathlib import Path

import pytest
from dashboards import FOLDER
from test_generated import TOOLS, run

TYPE = Path(__file__).parent / "dashboard.ts"
OPTIONS = ("--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext", "--target", "es2022")
FILES = sorted(FOLDER.glob("*.json"))


def check_types(folder: Path, dashboard: str) -> None:
    """Check the types of a dashboard's file. A mistake fails the test with what tsc says."""
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    (folder / "dashboard.ts").write_text(TYPE.read_text())
    program = folder / "program.ts"
    head = "import type { Dashboard } from './dashboard.js';\nexport const board: Dashboard = "
    program.write_text(f"{head}{dashboard};\n")
    run(folder, TOOLS / "node_modules/.bin/tsc", *OPTIONS, program)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_a_dashboard_has_the_published_type(file: Path, tmp_path: Path) -> None:
    check_types(tmp_path, file.read_text())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"noValue"', '"noValu"'),
        ('"colorMode": "value"', '"colorMode": "values"'),
        ('"mode": "absolute"', '"mode": "absolut"'),
        ('"iconColor"', '"iconColour"'),
        ('"expr"', '"expression"'),
    ],
)
def test_a_mistake_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    dashboard = FILES[0].read_text()
    assert right in dashboard
    with pytest.raises(AssertionError, match="error TS"):
        check_types(tmp_path, dashboard.replace(right, wrong, 1))
