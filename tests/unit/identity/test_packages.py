import ast
from importlib import metadata
from pathlib import Path

import pytest

from slipway.errors import ConfigurationError
from slipway.identity.code import closure
from slipway.identity.packages import PROVIDERS, UNKNOWN, normalised, pins, versions
from slipway.settings import settings
from tests.unit.identity.checkout import write

LOCK = """\
# made by hand
torch==2.13.0+cpu
PyYAML==6.0.3 \\
    --hash=sha256:abc
scikit_learn == 1.9 ; python_version > "3"
uvicorn[standard]==0.30  # web
ours @ git+https://example.org/ours@v1
pywin32==1; sys_platform == "win32"
pywin32==2; sys_platform == "cygwin"
protobuf===7.36.2
google-cloud-storage==3.1
-r more.txt
unpinned>=1
"""


@pytest.fixture
def pinned(tmp_path):
    (tmp_path / "requirements.lock").write_text(LOCK)
    return pins(tmp_path / "requirements.lock")


def test_a_lock_is_read_as_pip_reads_it(pinned):
    assert pinned == {
        "torch": "2.13.0+cpu",
        "pyyaml": "6.0.3",
        "scikit-learn": "1.9",
        "uvicorn": "0.30",
        "ours": "git+https://example.org/ours@v1",
        "pywin32": "1, 2",
        "protobuf": "7.36.2",
        "google-cloud-storage": "3.1",
    }


def test_a_missing_lock_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigurationError, match="make lock"):
        pins(tmp_path / "requirements.lock")


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        (["torch", "torch.utils.data"], {"torch": "2.13.0+cpu"}),
        (["sklearn.linear_model"], {"scikit-learn": "1.9"}),
        (["yaml"], {"pyyaml": "6.0.3"}),
        (["google", "google.protobuf"], {"protobuf": "7.36.2"}),
        (["google.cloud", "google.cloud.storage"], {"google-cloud-storage": "3.1"}),
        (["no_such_module_anywhere.part"], {"no_such_module_anywhere": UNKNOWN}),
        ([], {}),
    ],
)
def test_modules_are_attributed_by_the_lock_though_nothing_of_it_need_be_installed(pinned, modules, found):
    assert versions(modules, pinned) == found


def test_a_pin_wins_over_what_is_installed():
    assert metadata.version("numpy") != "0.0.1"
    assert versions(["numpy"], {"numpy": "0.0.1"}) == {"numpy": "0.0.1"}


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("numpy", "numpy"),
        ("sklearn.tree", "scikit-learn"),
        ("yaml", "pyyaml"),
        ("_yaml", "pyyaml"),  # by its files alone: neither its name nor the table says so
        ("rpds", "rpds-py"),
        ("google.protobuf", "protobuf"),
        ("google.rpc.status_pb2", "googleapis-common-protos"),
        ("google.oauth2.credentials", "google-auth"),  # one of several that share `google`
    ],
)
def test_what_is_not_pinned_is_looked_up_among_what_is_installed(module, distribution):
    assert versions([module], {}) == {distribution: metadata.version(distribution)}


def test_an_import_nobody_can_attribute_is_recorded_and_pinning_it_later_is_seen(tmp_path):
    write(tmp_path, {"include/a.py": "import martian.engine\n", "requirements.lock": "numpy==1\n"})

    def ask():
        return closure([tmp_path / "include/a.py"], [tmp_path / "include"], lock=tmp_path / "requirements.lock")

    assert ask().packages == {"martian": UNKNOWN}
    write(tmp_path, {"requirements.lock": "martian==4\n"})
    assert ask().packages == {"martian": "4"}


def test_only_pins_of_imported_packages_count(tmp_path):
    write(tmp_path, {"include/a.py": "import numpy\n", "requirements.lock": "numpy==1\nmypy==1\n"})

    def ask():
        return closure([tmp_path / "include/a.py"], [tmp_path / "include"], lock=tmp_path / "requirements.lock")

    before = ask()
    write(tmp_path, {"requirements.lock": "numpy==1\nmypy==2\n"})
    assert ask() == before
    write(tmp_path, {"requirements.lock": "numpy==2\nmypy==2\n"})
    assert ask().packages == {"numpy": "2"}


def _imported_here() -> set[str]:
    root = settings().root
    found = set()
    for folder in ("include", "spark_jobs"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found |= {node.module}
    return found


def test_the_lock_alone_attributes_this_projects_imports_as_their_installed_files_do():
    # Otherwise two machines, one with a package installed and one without, would name different distributions.
    owners = {module: set(map(normalised, names)) for module, names in metadata.packages_distributions().items()}
    pinned = pins(settings().root / "requirements.lock")
    foreign = [name for name in _imported_here() if name.split(".")[0] in owners]
    assert len(foreign) > 40
    for module in foreign:
        found = versions([module], pinned)
        assert found.keys() <= owners[module.split(".")[0]], module
        assert all(pinned[name] == version for name, version in found.items()), module


def test_the_table_agrees_with_what_is_installed():
    owners = metadata.packages_distributions()
    here = {module: owners[module.split(".")[0]] for module in PROVIDERS if module.split(".")[0] in owners}
    assert len(here) > 20
    for module, names in here.items():
        assert {normalised(module), *PROVIDERS[module]} & set(map(normalised, names)), module


def test_names_in_the_table_are_normalised():
    names = [name for names in PROVIDERS.values() for name in names]
    assert names == list(map(normalised, names))


def test_the_environment_decides_where_the_lock_is_not(tmp_path: Path):
    assert versions(["hypothesis"], {"numpy": "1"}) == {"hypothesis": metadata.version("hypothesis")}
