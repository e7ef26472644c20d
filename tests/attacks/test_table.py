"""The attack table: what it says of honest students and of a few forgeries; and that plain nbgrader really loses."""

import plain
import pytest
import table
from attack_class import RIGHT, WRONG

from autograder.sandbox.sandbox import why_not

CHEAP = ("exact_displayhook", "exact_check", "always_agrees", "many_points", "skip_execution")
HONEST = (RIGHT, WRONG)


@pytest.fixture(scope="module", autouse=True)
def walls():
    if missing := why_not():
        pytest.skip(missing)


@pytest.fixture(scope="module")
def rows():
    chosen = [each for each in table.attacks([*CHEAP, *HONEST]) if each[0] == table.ORIENTATION]
    found = table.rows_of(chosen)
    table.grade_ours(chosen, found)
    return {row.name: row for row in found}


def test_forgeries_get_what_they_deserve(rows):
    assert {rows[name].ours - rows[name].honest for name in CHEAP} == {0}
    assert not any(table.won(row, row.ours) for row in rows.values())
    assert rows["always_agrees"].we_say and len(rows) == len(CHEAP) + len(HONEST)


def test_the_honest_keep_their_points(rows):
    assert [rows[name].ours for name in HONEST] == [6, 0]
    assert all(rows[name].innocent and not table.lost(rows[name], rows[name].ours) for name in HONEST)


def test_the_summary_counts_wins_and_losses(rows):
    [theirs, ours, _] = table.summary(list(rows.values()))
    assert "0 of 0 attacks win, 0 of 0 honest students lose points" in theirs
    assert "0 of 5 attacks win, 0 of 2 honest students lose points" in ours
    robbed = table.Row(36, "robbed", "u", 5.0, theirs=4.0, they_say="", ours=5.0, innocent=True)
    thief = table.Row(4, "thief", "u", 0.0, theirs=9.0, they_say="", ours=0.0)
    assert "1 of 1 attacks win, 1 of 1 honest students lose points" in table.summary([robbed, thief])[0]


def test_every_attack_has_one_row_and_a_line():
    chosen = table.attacks()
    names = [(unit, attack.name) for unit, attack, _ in chosen]
    assert len(names) == len(set(names)) > 170
    assert {attack.line for _, attack, _ in chosen} | set(table.ELSEWHERE) == set(range(48))


@pytest.mark.slow
def test_plain_nbgrader_believes_the_displayhook(tmp_path):
    """In a container, as always."""
    found = {attack.name: attack for _, attack, _ in table.attacks(["exact_displayhook", "rewrites_others"])}
    classroom = plain.PlainClass(tmp_path, table.ORIENTATION)
    assert classroom.grade(found["exact_displayhook"]) == plain.Plain(6.0)
    assert classroom.grade(found["rewrites_others"]).says.startswith("harmed others")
    assert not classroom.room.exists()


@pytest.mark.slow
def test_the_container_of_plain_nbgrader_holds(tmp_path):
    """No network, nothing writable but the class, limits that bite, and an end."""
    tmp_path.chmod(0o755)
    program = (
        "import os, resource, socket\n"
        "for path in ('/repository/x', '/env/x', '/python/x', '/usr/x', '/x', '/etc/x'):\n"
        "    try:\n        open(path, 'w')\n        print('wrote', path)\n    except OSError:\n        pass\n"
        "try:\n    socket.create_connection(('1.1.1.1', 53), 1)\n    print('network')\nexcept OSError:\n    pass\n"
        "print(os.getuid() == 0, resource.getrlimit(resource.RLIMIT_NPROC)[0], len(os.listdir('/proc')) < 200)\n"
        "open('/class/mine', 'w')\n"
    )
    code, said, stopped = plain._run(tmp_path, ["/env/bin/python", "-c", program])
    assert (code, said, stopped) == (0, f"False {plain.PROCESSES} True\n", "")
    assert (tmp_path / "mine").exists()
    assert plain._run(tmp_path, ["/bin/sh", "-c", "sleep 99"], seconds=1)[2] == "timed out"
