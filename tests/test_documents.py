"""README, SECURITY and docs/: what they name exists."""

import re
from pathlib import Path

import pytest

from normlab.spec.__main__ import reference
from normlab.spec.experiment import ExperimentSpec
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(ROOT.joinpath("docs").glob("*.md"))]
PACKAGES = ("normcore", "normlab", "service", "worker", "migrations", "tests", "benchmarks", "docs")


def named_paths(text):
    """The paths of this repository that a document names in backticks or links to."""
    quoted = re.findall(r"`([^`\s]+)`", text)
    return {path for path in quoted if path.split("/")[0] in PACKAGES and "/" in path}


def links(text):
    """The files that a document links to, relative to its folder."""
    return set(re.findall(r"\]\(([^)#:\s]+)\)", text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
class TestDocument:
    def test_named_paths_exist(self, document):
        """Every file and folder that a document names is in the repository."""
        missing = {path for path in named_paths(document.read_text()) if not ROOT.joinpath(path).exists()}
        assert missing == set()

    def test_links_lead_to_files(self, document):
        """Every relative link of a document leads to a file."""
        missing = {link for link in links(document.read_text()) if not document.parent.joinpath(link).exists()}
        assert missing == set()

    def test_named_settings_exist(self, document):
        """Every NORMLAB_ variable that a document names is a setting."""
        fields = {*ServiceSettings.model_fields, *WorkerSettings.model_fields}
        named = set(re.findall(r"\bNORMLAB_([A-Z_]+)", document.read_text()))
        assert named <= {name.upper() for name in fields}


class TestReadme:
    def test_spec_table_names_fields_with_their_defaults(self):
        """The fields in README's table exist, and their defaults are the spec's."""
        table = ROOT.joinpath("README.md").read_text().split("## The spec")[1].split("\n## ")[0]
        spec = ExperimentSpec().model_dump(mode="json")
        for names, defaults in re.findall(r"^\| (`.*?`) \| (.*?) \|", table, flags=re.MULTILINE):
            if defaults == "the study's":
                continue
            stated = [text.strip("` ") for text in defaults.split(",")]
            assert [str(spec[name.strip("` ")]) for name in names.split(",")] == stated


class TestSpecReference:
    def test_page_is_that_of_the_fields(self):
        """docs/spec.md is what `python -m normlab.spec` prints."""
        assert ROOT.joinpath("docs", "spec.md").read_text() == reference()
