"""A learner's hour in a real browser: the attention notebook in JupyterLab, in headless Chromium.

Run all on the untouched notebook, a wrong answer, a right answer, both verdict cards, the explorable moved. The answers
are typed into JupyterLab's own editor. Screenshots are kept in build/browser/ for a person to look at.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from course.command_line import lab

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "build" / "browser"
UNIT, WRONG, RIGHT = "02_attention", "causal_mask", "stable_softmax"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
MINUTES = 60_000  # milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]

FIND = """id => {
    const content = jupyterapp.shell.currentWidget.content;
    const index = content.widgets.findIndex(cell => cell.model.id === id);
    if (index < 0) throw new Error('no cell ' + id);
    content.activeCellIndex = index;
    content.deselectAll();
    return content.scrollToItem(index, 'center').then(() => index);
}"""
IDLE = """() => {
    const panel = jupyterapp.shell.currentWidget;
    return panel && panel.context && panel.context.isReady && panel.sessionContext.session
        && panel.sessionContext.session.kernel && panel.sessionContext.session.kernel.status === 'idle';
}"""
CELLS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code')
    .map(cell => [cell.model.id, cell.model.executionCount, cell.model.outputs.toJSON()])"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab on a fresh working copy; yields (url, notebook path)."""
    root = tmp_path_factory.mktemp("learner")
    (root / "assignments").mkdir()
    if not (ROOT / "assignments" / UNIT).is_dir():
        pytest.skip(f"assignments/{UNIT} is not built: run `make build`")
    shutil.copytree(ROOT / "assignments" / UNIT, root / "assignments" / UNIT)
    notebook, _ = lab.make_working_copy(lab.find_unit(root, UNIT))
    port = free_port()
    extra = (f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=learner")
    extra += ("--LabApp.expose_app_in_browser=True",)
    words = lab.lab_command(notebook, False, extra)
    homes = {
        name: str(root / name.lower()) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    }
    log = (root / "jupyter.log").open("wb")
    env = {**lab.lab_environment(), **homes, "JUPYTER_RUNTIME_DIR": str(root / "runtime"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, cwd=root, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/api", process, root / "jupyter.log")
        yield f"http://127.0.0.1:{port}/lab/tree/{UNIT}/{notebook.name}?token=learner", notebook
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


@pytest.fixture(scope="module")
def page(server):
    """The notebook's tab, loaded and with an idle kernel."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: run `make setup`")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(server[0])
        page.wait_for_selector(".jp-Notebook", timeout=2 * MINUTES)
        page.wait_for_function(IDLE, timeout=2 * MINUTES)
        yield page
        browser.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


def write(page, exercise: str, code: str) -> None:
    """Type `code` into the exercise's cell."""
    page.evaluate(FIND, exercise)
    editor = page.locator(".jp-Notebook .jp-Cell.jp-mod-active .cm-content").first
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)


def answer(page, exercise: str, code: str) -> str:
    """Type `code` into the exercise's cell, run it and its check; the text of the card."""
    write(page, exercise, code)
    page.keyboard.press("Control+Enter")
    page.wait_for_function(IDLE, timeout=MINUTES)
    return card_of(page, exercise)


def card_of(page, exercise: str) -> str:
    """Run the exercise's check; the text of the card."""
    page.evaluate(FIND, f"check-{exercise}")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_function(IDLE, timeout=MINUTES)
    page.evaluate(FIND, f"check-{exercise}")
    card = page.locator(".jp-Notebook .jp-Cell.jp-mod-active .jp-OutputArea-output")
    card.first.wait_for(timeout=MINUTES)
    card.first.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"card-{exercise}.png")
    return card.first.inner_text()


def answers() -> tuple[str, str, str]:
    """A known wrong answer with the sentence that names it, and a right one, from the unit's own sources."""
    unit_module = pytest.importorskip("autograder.authoring.unit")
    unit = unit_module.Unit.load(ROOT / "course" / "units" / UNIT)
    wrong = next(m for m in unit.misconceptions if m.exercise == WRONG)
    return wrong.source, wrong.sentence, unit.solution_source(RIGHT)


def test_untouched_notebook_runs_from_top_to_bottom(page):
    page.get_by_role("menuitem", name="Run", exact=True).first.click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = "() => { const cells = (" + CELLS + ")(); return cells.every(c => c[1] !== null); }"
    page.wait_for_function(last, timeout=5 * MINUTES)
    page.wait_for_function(IDLE, timeout=MINUTES)
    page.screenshot(path=SHOTS / "run-all.png")
    outputs = {cell_id: outs for cell_id, _, outs in page.evaluate(CELLS)}
    errors = {
        cell_id: out["evalue"] for cell_id, outs in outputs.items() for out in outs if out["output_type"] == "error"
    }
    assert errors == {}
    cards = [cell_id for cell_id in outputs if cell_id.startswith("check-")]
    assert cards and all("not attempted" in str(outputs[cell_id]) for cell_id in cards)


def test_nobody_is_asked_about_news(page):
    assert page.evaluate("() => jupyterapp.hasPlugin('@jupyterlab/apputils-extension:notification')")
    assert not page.evaluate("() => jupyterapp.hasPlugin('@jupyterlab/apputils-extension:announcements')")


def test_there_is_no_validate_button_that_calls_an_empty_notebook_a_success(page):
    assert page.evaluate("() => jupyterapp.hasPlugin('@jupyter/nbgrader:menu')")
    assert not page.evaluate("() => jupyterapp.hasPlugin('@jupyter/nbgrader:validate-assignment')")
    assert page.get_by_role("button", name="Validate").count() == 0


def test_wrong_answer_is_named_and_right_answer_is_done(page):
    wrong, sentence, right = answers()
    said = answer(page, WRONG, wrong)
    assert "not yet" in said and " ".join(sentence.split())[:40] in " ".join(said.split())
    said = answer(page, RIGHT, "def stable_softmax(x, dim=-1):\n    return torch.softmax(x, dim)\n")
    assert "uses what should be written" in said and "`torch.softmax` (line 2)" in said
    said = answer(page, RIGHT, right)
    assert "done" in said and "no" not in said.split()


def test_card_reads_on_a_dark_page(page):
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached", timeout=MINUTES)
    page.evaluate(FIND, f"check-{WRONG}")
    card = page.locator(".jp-Notebook .jp-Cell.jp-mod-active .jp-OutputArea-output div").first
    card.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "card-dark.png")
    colour = card.evaluate("node => getComputedStyle(node).color")
    shades = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    assert sum(shades) / 3 > 128, f"dark text on a dark page: {colour}"
    page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.wait_for_selector("body[data-jp-theme-light='true']", state="attached", timeout=MINUTES)


def test_explorable_moves(page):
    kind = "application/vnd.jupyter.widget-view+json"
    panels = [cell_id for cell_id, _, outs in page.evaluate(CELLS) if any(kind in o.get("data", {}) for o in outs)]
    assert panels, "no cell shows a widget"
    page.evaluate(FIND, panels[0])
    panel = page.locator(".jp-Notebook .jp-Cell.jp-mod-active .jp-OutputArea").first
    panel.locator(".widget-slider .noUi-handle").first.wait_for(timeout=MINUTES)
    panel.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "explorable-before.png")
    shown = drawn(panel)
    panel.locator(".widget-slider .noUi-handle").first.press("ArrowLeft")
    shown = changed(panel, shown)
    dropdown = panel.locator(".widget-dropdown select")
    if dropdown.count():
        dropdown.first.select_option(index=1)
        changed(panel, shown)
    page.screenshot(path=SHOTS / "explorable-after.png")


def drawn(panel) -> str:
    """The pictures and sentences a panel shows, its controls left out."""
    parts = "svg, img, .jp-RenderedHTMLCommon, .widget-html-content"
    return panel.evaluate(f"node => [...node.querySelectorAll('{parts}')].map(part => part.outerHTML).join('')")


def changed(panel, before: str) -> str:
    """What the panel draws, once it is different from `before`."""
    for _ in range(100):
        now = drawn(panel)
        if now and now != before:
            return now
        panel.page.wait_for_timeout(100)
    raise AssertionError("the picture stayed the same")


def save(page) -> None:
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty", timeout=MINUTES)


def test_the_work_is_saved_and_the_command_line_agrees(page, server, capsys, monkeypatch):
    from course.command_line import cli

    save(page)
    monkeypatch.chdir(server[1].parent)
    assert cli.run(["check", server[1].name]) == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if RIGHT in line or WRONG in line]
    assert len(rows) == 2 and any("done" in row for row in rows) and any("not yet" in row for row in rows)


def test_a_cell_that_was_edited_and_not_run_is_told(page):
    assert "judged as it ran here" not in card_of(page, RIGHT)
    write(page, RIGHT, "def stable_softmax(x, dim=-1):\n    return x\n")
    save(page)
    said = card_of(page, RIGHT)
    assert "done" in said and f"the saved file holds another text of `{RIGHT}`" in said
