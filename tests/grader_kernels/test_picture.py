"""The picture of what one program loads and stores, and a kernel's verdict as text."""

import numpy as np
from matplotlib.collections import PolyCollection

from course import picture, plots
from grader_kernels.evidence import Access
from grader_kernels.judging import card
from grader_kernels.judging.verdict import Group, KernelVerdict, Pattern

OUT = "returned tensor 0"


def two_tiles() -> Pattern:
    accesses = [
        Access("load", "x", 10, list(range(8, 12))),
        Access("store", OUT, 12, list(range(8, 12))),
        Access("load", "x", 10, [12, 14]),
        Access("store", OUT, 12, [12, 14]),
    ]
    return Pattern("wide rows", [2, 0, 0], {"x": 24, OUT: 16}, accesses)


def bars(axes) -> list[list[tuple[float, float, float]]]:
    """Of every access: (left, right, row) of its bars."""
    found = []
    for drawn in axes.collections:
        assert isinstance(drawn, PolyCollection)
        boxes = [path.get_extents() for path in drawn.get_paths()]
        found.append([(box.x0, box.x1, round((box.y0 + box.y1) / 2, 3)) for box in boxes])
    return found


def test_every_tensor_has_a_panel_and_every_access_its_row():
    figure = picture.pattern(two_tiles())
    x, out = figure.axes
    assert bars(x) == [[(8, 12, 0)], [(12, 13, 2), (14, 15, 2)]]
    assert bars(out) == [[(8, 12, 1)], [(12, 13, 3), (14, 15, 3)]]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["x", "the result"]
    assert [label.get_text() for label in x.get_yticklabels()] == ["line 10", "line 12", "line 10", "line 12"]
    assert x.get_xlim()[1] >= 24 and x.yaxis_inverted()


def test_loads_and_stores_differ_without_colour():
    figure = picture.pattern(two_tiles())
    load, store = figure.axes[0].collections[0], figure.axes[1].collections[0]
    assert load.get_hatch() != store.get_hatch()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["load", "store"]


def test_the_title_names_the_program_and_the_case():
    assert picture.pattern(two_tiles()).get_suptitle() == "What program 2 touches: wide rows"
    grid = Pattern("a grid", [1, 2, 0], {"x": 1}, [Access("load", "x", 1, [0])])
    assert picture.pattern(grid).get_suptitle() == "What program (1, 2) touches: a grid"
    assert picture.pattern(grid, title="Mine").get_suptitle() == "Mine"


def test_scattered_elements_are_blurred_to_a_bounded_number_of_bars():
    scattered = sorted(np.random.default_rng(0).choice(10**6, 4096, replace=False).tolist())
    runs = picture._runs(scattered)
    assert 100 < len(runs) <= picture.MAX_RUNS
    assert runs[0][0] == scattered[0] and sum(runs[-1]) == scattered[-1] + 1


def test_it_is_a_picture_for_any_pattern():
    odd = [Access("atomic", "count", 3, [0]), Access("load", "x", 4, []), Access("load", "x", 5, [7, 7, 3])]
    for found in (two_tiles(), Pattern("odd", [0, 0, 0], {"count": 1, "x": 0}, odd), many()):
        assert plots.png(picture.pattern(found)).startswith(b"\x89PNG")


def many() -> Pattern:
    accesses = [Access("load", "x", i, list(range(64 * i, 64 * i + 4096, 2))) for i in range(64)]
    return Pattern("many", [0, 0, 0], {"x": 10**4}, accesses)


def test_the_sentence_says_the_same():
    assert picture.describe(two_tiles()) == (
        "Program 2 loads x 2 times (6 different elements), stores into the result 2 times (6 different elements)."
    )


def test_text_is_not_shown_by_itself_in_a_notebook(monkeypatch):
    """rich displays what it should write into a file when it finds itself in Jupyter."""
    verdict = KernelVerdict("row_softmax", groups=[Group("right", 2, 2, []), Group("safe", 1, 1, [])])
    outside = card.body_text(verdict)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert "right" in outside and card.body_text(verdict) == outside
