"""formgrader on a recorded class: the real server, a real browser, a person's mark, and the export afterwards."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from autograder.authoring.unit import UNITS, Unit
from autograder.classroom import record
from autograder.classroom.class_folder import ClassFolder
from autograder.classroom.export import export
from autograder.sandbox.sandbox import why_not
from course.command_line import cli
from sample_class import TOPIC, UNIT, hand_in, judge, released, solved

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SHOTS = ROOT / "build" / "browser"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOKEN = "a-token-for-this-test"
SECONDS = 60
REAL = "00_orientation"
CLASS_RUN = """
import sys
from autograder.classroom.class_folder import ClassFolder
with ClassFolder(sys.argv[1]).lock("course grade 00_orientation"):
    print("holding", flush=True)
    input()
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

JUDGE = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(HERE)!r}]
import sample_class
from autograder.classroom.class_folder import ClassFolder
sample_class.judge(ClassFolder(sys.argv[3]), sys.argv[5], double_it=2.0)
"""


@pytest.fixture(scope="module")
def classroom(new_class, tmp_path_factory):
    """Three students recorded: an answer with a script in it, a held exercise, and one who was late."""
    classroom = new_class(tmp_path_factory.mktemp("formgrader") / "class")
    release = released(classroom)
    (classroom.root / "fake_course.py").write_text(JUDGE)
    with classroom.config_file.open("a") as config:
        config.write('c.LateSubmissionPlugin.penalty_method = "zero"\n')
        config.write(f"c.FetchVerdict.command = [{sys.executable!r}, {str(classroom.root / 'fake_course.py')!r}]\n")
    classroom.set_due(UNIT, datetime.datetime(2026, 1, 1))
    days = {"ada": "2025-12-31", "bob": "2026-01-02", "cyd": "2025-12-30"}
    rows = [f"{name},{UNIT},{day}\n" for name, day in days.items()]
    classroom.timestamps_file.write_text("student,unit,timestamp\n" + "".join(rows))
    active = "<script>alert(1)</script> <img src=x onerror=alert(1)> [x](javascript:alert(1)) $a<b$\n\n"
    active += "Because it is linear."
    hand_in(classroom, "ada", solved(release, active))
    hand_in(classroom, "bob", solved(release, "No idea."))
    hand_in(classroom, "cyd", solved(release))
    judge(classroom, "ada", double_it=1.5)
    judge(classroom, "bob")
    judge(classroom, "cyd", add_up="held")
    assert record.record(classroom, UNIT) == {}
    return classroom


@pytest.fixture(scope="module")
def server(classroom, tmp_path_factory):
    with serving(classroom, tmp_path_factory.mktemp("home")) as address:
        yield address


@contextlib.contextmanager
def serving(classroom, home):
    """The address of a Jupyter server with formgrader, started in the class folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.port_retries=0", "--LabApp.news_url=None"]
    env = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
    }
    with open(home / "log", "w") as log:
        process = subprocess.Popen(command, cwd=classroom.root, env=env, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(process, f"{address}/api?token={TOKEN}", home / "log")
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def _wait_for(process, url, log):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    with signed_in(browser, server) as page:
        yield page


@contextlib.contextmanager
def signed_in(browser, server):
    """A signed-in page, cut off from other hosts, that notes every dialog a script opens."""
    context = browser.new_context(viewport={"width": 1200, "height": 1400})
    context.route("**/*", lambda route: _only_here(route, server))
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.dialogs = []
    page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(f"{server}/api/status?token={TOKEN}")
    yield page
    assert page.dialogs == []
    context.close()


def _only_here(route, server):
    allowed = route.request.url.startswith((server, "file:"))
    route.continue_() if allowed else route.abort()


def shot(page, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"formgrader_{name}.png", full_page=True)


def submission(classroom, student):
    with classroom.gradebook() as gradebook:
        return gradebook.find_submission_notebook(TOPIC, UNIT, student).id


def exported(classroom):
    return {row["student"]: row for row in csv.DictReader(io.StringIO(export(classroom, UNIT)))}


def test_the_class_is_listed(page, server):
    page.goto(f"{server}/formgrader/manage_assignments")
    row = page.locator("tr", has_text=UNIT)
    row.wait_for()
    assert row.locator(".num-submissions").inner_text().strip() == "3"
    page.goto(f"{server}/formgrader/gradebook/{UNIT}/{TOPIC}")
    page.locator("td", has_text="Submission #3").wait_for()
    shot(page, "class")


def test_an_answer_is_marked_by_hand_and_exported(page, server, classroom):
    before = exported(classroom)["ada"]
    assert (before["manual"], before["to_mark"], before["score"]) == ("0.0", "1", "4.5")
    page.goto(f"{server}/formgrader/submissions/{submission(classroom, 'ada')}/")
    box = page.locator("input#explain-why")
    box.wait_for()
    page.wait_for_function("document.querySelector('input#explain-why').classList.contains('needs_manual_grade')")
    assert "linearity" in page.content()  # the mark scheme, for who marks
    with page.expect_response(lambda answer: "/api/grade/" in answer.url and answer.request.method == "PUT"):
        box.fill("1.5")
        box.press("Tab")
    shot(page, "marked")
    after = exported(classroom)["ada"]
    assert (after["manual"], after["manual_max"], after["to_mark"], after["score"]) == ("1.5", "2.0", "0", "6.0")
    judge(classroom, "ada", version="v2", double_it=3.0)
    assert record.record(classroom, UNIT) == {}
    assert exported(classroom)["ada"]["score"] == "7.5"  # a regrade keeps the mark


def test_the_card_looks_like_a_card_and_the_students_script_does_not_run(page, server, classroom):
    page.goto(f"{server}/formgrader/submissions/{submission(classroom, 'cyd')}/")
    card = page.locator("div.output_html > div", has_text="add_up").first
    card.wait_for()
    assert "held for your instructor" in card.inner_text()
    assert card.evaluate("e => getComputedStyle(e).borderLeftWidth") == "6px"
    shot(page, "held")
    page.goto(f"{server}/formgrader/submissions/{submission(classroom, 'ada')}/")
    page.locator("text=Because it is linear.").wait_for()
    page.wait_for_timeout(500)  # time for an alert, which the page fixture would note
    assert page.locator("a[href^='javascript']").count() == 0


def test_the_feedback_page_looks_the_same(page, classroom):
    assert record.generate_feedback(classroom, UNIT, ["cyd"]) == {}
    page.goto(f"file://{classroom.feedback / 'cyd' / UNIT / TOPIC}.html")
    card = page.locator("div.output_html > div", has_text="add_up").first
    assert card.evaluate("e => getComputedStyle(e).borderLeftWidth") == "6px"
    shot(page, "feedback")


def test_a_late_penalty_is_shown_and_exported(page, server, classroom):
    page.goto(f"{server}/formgrader/manage_students/bob")
    row = page.locator("tr", has_text=UNIT)
    row.wait_for()
    page.goto(f"{server}/formgrader/submissions/{submission(classroom, 'bob')}/")
    page.locator("text=Handed in 1 day, 0:00:00 late.").wait_for()
    shot(page, "late")
    late = exported(classroom)["bob"]
    assert (late["score"], late["automatic"], late["late_penalty"]) == ("0.0", "6.0", "6.0")
    record.generate_feedback(classroom, UNIT, ["bob"])
    assert "Late submission penalty" in (classroom.feedback / "bob" / UNIT / f"{TOPIC}.html").read_text()


def test_the_autograde_button_calls_the_judge(page, server, classroom):
    page.goto(f"{server}/formgrader/manage_submissions/{UNIT}")
    row = page.locator("tr", has_text="cyd")
    row.locator(".autograde a").click()
    page.locator("#success-modal").wait_for()
    shot(page, "autograde")
    assert exported(classroom)["cyd"]["automatic"] == "5.0"
    assert exported(classroom)["cyd"]["to_mark"] == "0"


def test_the_autograde_button_on_a_locked_class_shows_the_sentence(page, server, classroom):
    before = exported(classroom)["bob"]
    page.goto(f"{server}/formgrader/manage_submissions/{UNIT}")
    with classroom.lock("course grade 07_tiny"):
        with page.expect_response(lambda answer: answer.url.endswith("/autograde")) as answered:
            page.locator("tr", has_text="bob").locator(".autograde a").click()
        page.locator("#error-modal").wait_for()
        page.wait_for_timeout(500)  # it slides in
    answer = json.loads(answered.value.text())
    log = " ".join(answer["log"].split())
    assert answer["success"] is False and "wait until it ends" in log[: log.index("Traceback")]
    shot(page, "locked")
    assert exported(ClassFolder(classroom.root))["bob"] == before


@pytest.mark.skipif(bool(why_not()), reason="no sandbox on this machine")
def test_the_button_goes_through_the_real_judge_while_no_run_holds_the_class_and_while_one_does(browser, tmp_path):
    """The hand-in tries to write a file, which works where nbgrader itself runs it and nowhere else."""
    classroom, trace = real_class(tmp_path), tmp_path / "executed"
    hand_in_with_a_trace(classroom, trace)
    with serving(classroom, tmp_path) as server, signed_in(browser, server) as page:
        run = [sys.executable, "-c", CLASS_RUN, str(classroom.root)]
        held = subprocess.Popen(run, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert held.stdout.readline() == b"holding\n"
        refused = press(page, server)
        held.communicate(b"\n")
        log = " ".join(refused["log"].split())
        assert refused["success"] is False and f"(process {held.pid} on" in log and "wait until it ends" in log
        assert automatic(classroom) == 0.0 and not trace.exists()
        done = press(page, server)
        assert done["success"] is True, done
    assert automatic(classroom) == Unit.load(UNITS / REAL).max_score and not trace.exists()


def real_class(root):
    """A class in which ivan handed in the untouched notebook, graded by the real command: no points."""
    classroom = ClassFolder(root / "class")
    (released,) = (ROOT / "assignments" / REAL).glob("*.ipynb")
    folder = classroom.submitted / "ivan" / REAL
    folder.mkdir(parents=True)
    shutil.copy(released, folder)
    assert cli.run(["grade", REAL, "--class", str(classroom.root)]) == 0
    assert automatic(classroom) == 0.0
    return classroom


def hand_in_with_a_trace(classroom, trace):
    """Every exercise solved, and a cell that writes a file."""
    (solution,) = (ROOT / "solutions" / REAL).glob("*.ipynb")
    notebook = json.loads(solution.read_text())
    cell = {"cell_type": "code", "id": "trace", "metadata": {}, "outputs": [], "execution_count": None}
    notebook["cells"].insert(2, cell | {"source": f"try:\n    open({str(trace)!r}, 'w')\nexcept OSError:\n    pass"})
    (classroom.submitted / "ivan" / REAL / solution.name).write_text(json.dumps(notebook))


def press(page, server):
    """What the server answers to Autograde on Ivan's row."""
    page.goto(f"{server}/formgrader/manage_submissions/{REAL}")
    with page.expect_response(lambda answer: answer.url.endswith("/autograde"), timeout=600_000) as answered:
        page.locator("tr", has_text="ivan").locator(".autograde a").click()
    return json.loads(answered.value.text())


def automatic(classroom):
    (row,) = csv.DictReader(io.StringIO(export(ClassFolder(classroom.root), REAL)))
    return float(row["automatic"])
