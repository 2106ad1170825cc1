"""The workflows on GitHub: they call `make`, may do little, and their tools can fail."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from tests.tools import check_links, colab

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = {
    name
    for line in re.findall(r"(?m)^([a-z][a-z -]*):(?!=)", MAKEFILE)
    for name in line.split()
}  # fmt: skip
ACTION = re.compile(r"actions/[a-z-]+@v\d+")
# What a job may do beyond reading the repository, and where.
GRANTED = {("pages", "deploy"): {"pages": "write", "id-token": "write"}}


def read(path: Path) -> dict:
    """Return a workflow; YAML reads the key `on` as true."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["on"] = content.pop(True)
    return content


def faults(name: str, workflow: dict, targets: set[str] = TARGETS) -> list[str]:
    """Return a line for each rule that a workflow breaks."""
    lines = []
    if workflow.get("permissions") != {"contents": "read"}:
        lines.append("it must read the repository's content and nothing else")
    if "pull_request_target" in workflow["on"]:
        lines.append("pull_request_target runs the code of strangers with rights")
    if "concurrency" not in workflow:
        lines.append("two runs of it can stand in each other's way: concurrency")
    for job, content in workflow["jobs"].items():
        granted = content.get("permissions", {})
        if granted != GRANTED.get((name, job), {}):
            lines.append(f"{job}: the rights {granted}")
        if not 0 < content.get("timeout-minutes", 0) <= 150:
            lines.append(f"{job}: no limit on its time")
        for step in content["steps"]:
            action = step.get("uses", "")
            if action and not ACTION.fullmatch(action):
                lines.append(f"{job}: {action} is not an action of GitHub's own with its version")
            if action.startswith("actions/checkout") and (
                step.get("with", {}).get("persist-credentials") is not False
            ):
                lines.append(f"{job}: checkout leaves a token behind")
            if "run" in step:
                words = step["run"].split()
                if words[:1] != ["make"] or len(words) != 2:
                    lines.append(f"{job}: runs {step['run']!r} instead of one target of make")
                elif words[1] not in targets:
                    lines.append(f"{job}: make has no target {words[1]}")
    if "secrets." in json.dumps(workflow):
        lines.append("it uses a secret")
    return lines


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.stem)
def test_a_workflow_keeps_the_rules(path):
    assert faults(path.stem, read(path)) == []


def test_there_are_four():
    assert [path.stem for path in WORKFLOWS] == ["colab", "links", "pages", "tests"]
    weekly = [path.stem for path in WORKFLOWS if "schedule" in read(path)["on"]]
    assert weekly == ["colab", "links"]
    for name in weekly:
        (when,) = read(ROOT / ".github" / "workflows" / f"{name}.yml")["on"]["schedule"]
        assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"]), "once a week"


def test_one_action_has_one_version():
    used = re.findall(r"(actions/[\w-]+)@(v\d+)", "".join(p.read_text("utf-8") for p in WORKFLOWS))
    assert len(dict(set(used))) == len(set(used))


@pytest.mark.parametrize(
    "name",
    ["CONTRIBUTING.md", "README.md", "RELEASING.md", "book/citing.md", "book/contributing.md"],
)
def test_pages_name_targets_that_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"(?m)^(make .+)$", text)
    named = [words for piece in code for words in re.findall(r"\bmake ([a-z][a-z -]*)", piece)]
    named = [word for words in named for word in words.split() if not word.startswith("-")]
    assert named
    assert [word for word in named if word not in TARGETS] == []


GOOD = {
    "on": {"push": None},
    "permissions": {"contents": "read"},
    "concurrency": {"group": "x"},
    "jobs": {"one": {"timeout-minutes": 5, "steps": [{"run": "make setup"}]}},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"permissions": "write-all"}, "nothing else"),
        ({"on": {"pull_request_target": None}}, "strangers"),
        ({"job": {"permissions": {"contents": "write"}}}, "rights"),
        ({"job": {"timeout-minutes": 0}}, "no limit"),
        ({"step": {"run": "make no-such-target"}}, "no target"),
        ({"step": {"run": "make setup; rm -rf x"}}, "instead of one target"),
        ({"step": {"run": "pip install x"}}, "instead of one target"),
        ({"step": {"uses": "someone/thing@v1"}}, "GitHub's own"),
        ({"step": {"uses": "actions/setup-python@main"}}, "GitHub's own"),
        ({"step": {"uses": "actions/checkout@v6"}}, "token"),
    ],
)
def test_a_broken_rule_is_found(change, said):
    assert faults("x", GOOD) == []
    workflow = json.loads(json.dumps(GOOD))
    job = workflow["jobs"]["one"]
    job |= change.pop("job", {})
    job["steps"] += [change.pop("step")] if "step" in change else []
    assert any(said in line for line in faults("x", workflow | change))


def test_what_a_week_in_colab_does():
    package, tools, notebooks = colab.commands("python", 3, Path("/a book"))
    assert package == ["python", "-m", "pip", "install", "--quiet", "/a book"]
    assert {"pytest", "nbval"} <= set(tools)
    assert notebooks == ["python", "/a book/tests/tools/run_notebooks.py", "--jobs", "3"]
    image = read(ROOT / ".github" / "workflows" / "colab.yml")["jobs"]["notebooks"]["container"]
    assert image["image"].removesuffix(":latest") in (colab.__doc__ or "")


def test_a_changed_torch_is_told():
    before = {"torch": "2.11.0+cu128", "numpy": "2.4", "pillow": ""}
    assert colab.changes(before, dict(before, pillow="12.0")) == []
    assert colab.changes(before, {"torch": "2.14.1", "numpy": "2.4"}) == [
        "torch was 2.11.0+cu128 and is now 2.14.1"
    ]
    assert colab.changes(before, {"torch": "2.11.0+cu128"}) == ["numpy was 2.4 and is now gone"]


def test_it_does_not_touch_the_environment_of_a_contributor(capsys):
    assert colab.main([]) == 1
    assert "installed here already" in capsys.readouterr().out


def test_links_that_are_gone_and_links_that_refuse():
    base = {"filename": "a.md", "lineno": 3, "code": 0}
    found = [
        base | {"status": "working", "uri": "https://a.org", "info": ""},
        base | {"status": "redirected", "uri": "https://b.org", "info": "https://c.org"},
        base | {"status": "broken", "uri": "https://d.org", "info": "404 Client Error: Not Found"},
        base | {"status": "broken", "uri": "https://e.org", "info": "403 Client Error: Forbidden"},
        base | {"status": "timeout", "uri": "https://f.org", "info": ""},
        base | {"status": "broken", "uri": "https://g.org", "info": "Name or service not known"},
        base | {"status": "broken", "uri": (port := "http://h.org:40549/x"),
                "info": f"404 Client Error: Not Found for url: {port}"},
    ]  # fmt: skip
    gone, refused = check_links.sorted_out(found)
    assert [line.split(": ")[1] for line in gone] == [port, "https://d.org", "https://g.org"]
    assert [line.split(": ")[1] for line in refused] == ["https://e.org", "https://f.org"]


class Site(http.server.BaseHTTPRequestHandler):
    """Has one page, refuses another, and lacks all others."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response({"/here": 200, "/closed": 403}.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.slow
@pytest.mark.parametrize(("paths", "status"), [(["here", "closed"], 0), (["here", "gone"], 1)])
def test_links_are_really_asked(tmp_path, paths, status):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        (tmp_path / "book").mkdir()
        (tmp_path / "_config.yml").write_text("title: T\nonly_build_toc_files: true\n", "utf-8")
        (tmp_path / "book/_toc.yml").write_text("format: jb-book\nroot: index\n", "utf-8")
        links = " ".join(f"[a link]({base}/{path})" for path in paths)
        (tmp_path / "book/index.md").write_text(f"# Title\n\n{links}\n", "utf-8")
        command = [sys.executable, str(ROOT / "tests/tools/check_links.py")]
        command += ["--source", str(tmp_path / "book"), "--config", str(tmp_path / "_config.yml")]
        command += ["--out", str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True)
        server.shutdown()
    assert done.returncode == status, done.stdout + done.stderr
    assert f"2 links to other sites, {1 - status} without answer, {status} gone" in done.stdout
    if status:
        assert f"GONE: index.md:3: {base}/gone: 404" in done.stdout


def test_the_books_own_settings_are_kept():
    content = check_links.settings(ROOT / "_config.yml")
    assert content["title"] == "The GAN Book"
    assert content["sphinx"]["config"]["linkcheck_timeout"] == 30
    assert content["sphinx"]["config"]["html_css_files"] == ["book.css"]
    for name, place in content["sphinx"]["local_extensions"].items():
        assert (Path(place) / f"{name}.py").is_file()
