"""Files around the code agree with it: workflows, hooks, versions, the changelog, forms, the container."""

import re
import runpy
import tomllib
from contextlib import suppress
from fnmatch import fnmatch
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from upsample_cli.version import __version__

ROOT = Path(__file__).parent.parent
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, TOOLS = DECLARED["project"], DECLARED["tool"]
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob(".github/workflows/*.yml")}
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROGRAMS = {"python", "python3", "bash", "pipx", "gh", "coverage", "pre-commit", "mkdocs"}
ITS_OWN = ("build/", "dist", "notes.md", "./*")
"""Files that the workflows themselves write."""


def complaints(text):
    """What is wrong with a workflow: an action without a version, a job without limits, a file that does not exist."""
    workflow = yaml.safe_load(text)
    if workflow.get("permissions") != {"contents": "read"}:
        yield "permissions"
    for name, job in workflow["jobs"].items():
        if "uses" in job:
            if not (ROOT / job["uses"]).exists():
                yield job["uses"]
            continue
        if "timeout-minutes" not in job:
            yield f"{name}: timeout-minutes"
        for step in job["steps"]:
            yield from _wrong_in(step)


def _wrong_in(step):
    if not re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", step.get("uses", "x@v1")):
        yield step["uses"]
    for line in step.get("run", "").replace("\\\n", " ").splitlines():
        program, *arguments = line.split("  # ")[0].split()
        if program not in PROGRAMS:
            yield program
        for path in re.findall(r"(?<![\w/.-])(?:\.ci|docs|tests|upsample_cli)/[\w./-]+", " ".join(arguments)):
            if not (ROOT / path).exists():
                yield path
        for extras in re.findall(r"\.\[([\w,]+)\]", line):
            yield from set(extras.split(",")) - PROJECT["optional-dependencies"].keys()


def test_the_workflows_name_what_exists_and_have_limits():
    assert set(WORKFLOWS) == {"tests.yml", "wheels.yml", "release.yml"}
    assert {name: list(complaints(text)) for name, text in WORKFLOWS.items()} == {name: [] for name in WORKFLOWS}


@pytest.mark.parametrize(
    ("text", "other", "complaint"),
    [
        ("contents: read", "contents: write", "permissions"),
        ("timeout-minutes: 20", "", "lint: timeout-minutes"),
        ("actions/checkout@v6", "actions/checkout@main", "actions/checkout@main"),
        ("bash .ci/run", "bash .ci/start", ".ci/start"),
        ("pre-commit run", "precommit run", "precommit"),
        (".[test]", ".[tests]", "tests"),
    ],
)
def test_control_a_wrong_workflow_is_noticed(text, other, complaint):
    assert text in WORKFLOWS["tests.yml"]
    assert complaint in list(complaints(WORKFLOWS["tests.yml"].replace(text, other)))


def unwatched(paths):
    """The sources of the compiled modules of which a change does not start the workflow of the wheels."""
    modules = TOOLS["setuptools"]["ext-modules"]
    files = {"pyproject.toml", "setup.py", *chain(*(module["sources"] + module["depends"] for module in modules))}
    return {file for file in files if not any(fnmatch(file, path) for path in paths)}


def test_a_change_of_compiled_code_builds_the_wheels():
    paths = yaml.safe_load(WORKFLOWS["wheels.yml"])[True]["pull_request"]["paths"]  # YAML reads the key `on` as True
    assert unwatched(paths) == set()
    assert unwatched([path for path in paths if "png" not in path]) == {
        f"upsample_cli/images/codecs/png/{name}" for name in ("unfilter.cpp", "filters.h")
    }


def test_only_the_publishing_job_can_publish_and_it_has_an_environment():
    jobs = yaml.safe_load(WORKFLOWS["release.yml"])["jobs"]
    trusted = [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    assert trusted == ["pypi"]
    assert jobs["pypi"]["environment"] == "pypi"
    assert not any("secrets." in text for text in WORKFLOWS.values())


def test_the_oldest_python_of_the_matrix_is_the_oldest_that_is_allowed():
    matrix = yaml.safe_load(WORKFLOWS["tests.yml"])["jobs"]["systems"]["strategy"]["matrix"]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    named = [line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert set(named) <= set(matrix["python"])


def _pins(name):
    lines = (ROOT / ".ci" / name).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(one): pin for one, _, pin in (line.partition("==") for line in lines) if pin}


def _closure(lines, pins):
    """The distributions among some requirements, and theirs where an installed one has the pinned version."""
    found, waiting = {}, [(Requirement(line), frozenset()) for line in lines]
    while waiting:
        requirement, outer = waiting.pop()
        name, marker = canonicalize_name(requirement.name), requirement.marker
        applies = marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *outer})
        if not applies or (name in found and requirement.extras <= found[name]):
            continue
        found[name] = found.get(name, set()) | requirement.extras
        with suppress(metadata.PackageNotFoundError):
            if metadata.version(name) == pins.get(name):
                waiting += [(Requirement(line), requirement.extras) for line in metadata.requires(name) or []]
    return {name for name in found if not name.startswith(CHOSEN_BY_TORCH)} - {"upsample-cli"}


CHOSEN_BY_TORCH = ("cuda", "nvidia", "triton", "setuptools")
ALL_REQUIREMENTS = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]


def test_the_constraints_pin_all_that_is_installed():
    pins = _pins("constraints.txt")
    assert _closure(ALL_REQUIREMENTS, pins) - pins.keys() == set()


def test_control_a_missing_pin_is_noticed_after_two_steps():
    pins = {"rich": metadata.version("rich")}
    assert _closure(["rich"], pins) - pins.keys() == {"markdown-it-py", "pygments"}


def test_the_oldest_versions_are_those_of_the_project():
    lower = {}
    for requirement in map(Requirement, ALL_REQUIREMENTS):
        lower |= {
            canonicalize_name(requirement.name): one.version for one in requirement.specifier if one.operator == ">="
        }
    pins = _pins("oldest.txt")
    assert {Requirement(line).name for line in PROJECT["dependencies"]} <= set(pins)
    for name, pin in pins.items():
        if name in lower:
            assert f"{pin}.".startswith(f"{lower[name]}."), name


NEWEST = re.search(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)[1]


def test_the_newest_section_of_the_changelog_is_the_version_or_to_come():
    assert NEWEST in {__version__, "Unreleased"}


def test_the_citation_names_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["title"]) == (__version__, PROJECT["name"])
    assert citation["license"] == PROJECT["license"]


RELEASE = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))["notes"]
LOG = "# Changelog\n\n## [1.2.0] - 2030-01-31\n\n### Added\n\n- Cats.\n\n## [1.1.0] - 2029-12-01\n\n- Dogs.\n"


def test_the_notes_of_a_release_are_its_section():
    assert RELEASE("v1.2.0", "1.2.0", LOG) == "### Added\n\n- Cats."


@pytest.mark.parametrize(
    ("tag", "version", "changelog"),
    [
        ("v1.2.1", "1.2.0", LOG),
        ("v1.1.0", "1.1.0", LOG),
        ("v1.2.0", "1.2.0", LOG.replace(" - 2030-01-31", "")),
        ("v1.2.0", "1.2.0", LOG.replace("1.2.0", "Unreleased")),
        ("v1.2.0", "1.2.0", LOG.replace("### Added\n\n- Cats.", "")),
    ],
)
def test_a_release_whose_tag_version_and_changelog_differ_is_refused(tag, version, changelog):
    with pytest.raises(SystemExit):
        RELEASE(tag, version, changelog)


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml"])
def test_the_forms_ask_for_what_the_image_holds(name):
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))
    (field,) = (one for one in form["body"] if one.get("id") == "info")
    assert "`tconv info --json FILE`" in field["attributes"]["label"]


CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")


def faults(containerfile):
    """What is wrong with the container's stages: a file that is missing or ignored, root as the user, no tag."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", containerfile, re.MULTILINE) for name in line.split()]
    yield from (name for name in copied if name not in kept or not (ROOT / name).exists())
    wheel_needs = {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "man", "upsample_cli"}
    wheel_needs |= {path.name for path in ROOT.glob("setup.*")}
    yield from wheel_needs - set(copied)
    last = re.split(r"^FROM ", containerfile, flags=re.MULTILINE)[-1]
    if not re.search(r"^USER [1-9]\d*$", last, re.MULTILINE):
        yield "root"
    if f'ENTRYPOINT ["{next(iter(PROJECT["scripts"]))}"]' not in last:
        yield "ENTRYPOINT"
    for image, tag in re.findall(r"^FROM (\S+):(\S+)", containerfile, re.MULTILINE):
        if not (image == "python" and SpecifierSet(PROJECT["requires-python"]).contains(tag.partition("-")[0])):
            yield f"{image}:{tag}"


def test_the_container_is_built_from_what_exists_and_does_not_run_as_root():
    assert list(faults(CONTAINERFILE)) == []


@pytest.mark.parametrize(
    ("text", "other", "fault"),
    [
        ("USER 1000\n", "", "root"),
        ("COPY man man\n", "", "man"),
        ("LICENSE", "LICENCE", "LICENCE"),
        ("python:3.11", "python:3.10", "python:3.10-slim"),
        ('["upsample"]', '["sh"]', "ENTRYPOINT"),
    ],
)
def test_control_a_fault_of_the_container_is_noticed(text, other, fault):
    assert text in CONTAINERFILE
    assert fault in list(faults(CONTAINERFILE.replace(text, other)))


INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")


def test_the_page_on_installation_names_the_extras_and_pythons_that_exist():
    extras = set(",".join(re.findall(r"\[([a-z,]+)\](?:`|\")", INSTALL)).split(","))
    assert {"cluster", "export"} <= extras <= set(PROJECT["optional-dependencies"])
    matrix = yaml.safe_load(WORKFLOWS["tests.yml"])["jobs"]["systems"]["strategy"]["matrix"]
    assert f"Python {matrix['python'][0]} to {matrix['python'][-1]}" in INSTALL
