"""Which cells the judge runs: all of the student's, and of the lesson's those that make what they use."""

import pytest

from autograder.judging.needed import Cell, needed
from course.checking.cells import read_all

LESSON = {
    "imports": "import math\nfrom matplotlib.figure import Figure",
    "sizes": "DEPTHS = [6, 12]\n\ndef measured(depth):\n    return math.sqrt(depth)",
    "first": "figure = Figure()\nfor x in range(3):\n    figure.add(x)",
    "second": "table = None\nif DEPTHS:\n    table = [measured(d) for d in DEPTHS]\n    figure = Figure()",
    "third": "for figure in (1, 2):\n    print(figure)",
    "after": "total = 0\nfor row in table:\n    total += row\nx = x + 1",
}


def ran(source):
    cells = [Cell(name, "", text, given=True) for name, text in LESSON.items()]
    cells.append(Cell("own", "own", source))
    return [cells[number].id for number in needed(cells, read_all([cell.source for cell in cells]))]


@pytest.mark.parametrize(
    "source, wanted",
    [
        ("answer = 3", []),
        ("answer = math.pi", ["imports"]),
        ("answer = measured(4)", ["imports", "sizes"]),
        ("answer = table[0]", ["imports", "sizes", "second"]),  # its figure is its own
        ("answer = total", ["imports", "sizes", "first", "second", "after"]),  # x comes from the first cell
        ("answer = figure", ["imports", "sizes", "first", "second", "third"]),  # nobody can tell which one is meant
        ("def answer(:", []),
    ],
)
def test_a_cell_of_the_lesson_runs_where_its_names_are_used(source, wanted):
    assert ran(source) == [*wanted, "own"]


@pytest.mark.parametrize(
    "source",
    [
        "if ready:\n    figure = 1\nprint(figure)",
        "for figure in []:\n    pass\nprint(figure)",
        "try:\n    figure = 1\nexcept Exception:\n    pass\nprint(figure)",
        "while False:\n    figure = 1\nprint(figure)",
        "figure += 1",
        "def late():\n    return figure\nlate()",
        "print([figure for row in []])",
    ],
)
def test_what_may_not_have_been_bound_comes_from_elsewhere(source):
    assert "first" in ran(source)
