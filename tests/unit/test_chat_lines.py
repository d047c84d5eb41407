"""Answers are cut into lines and stage directions, the same however they come."""

import random

from huashen.chat.lines import Direction, Line, lines

ANSWER = "[smile] Hello there! Take [this link](https://a.b/c) [1]. ```py\nx = [wave]\n``` Goodbye [wave] friend.【点头】好的。"


def test_directions_stand_where_they_were_written() -> None:
    assert list(lines(["[smile]Hello there! Good [nod]bye."])) == [
        Line("Hello there!", (Direction("smile", 0),)),
        Line("Good bye.", (Direction("nod", 5),)),
    ]


def test_pieces_do_not_change_the_lines() -> None:
    whole = list(lines([ANSWER]))
    assert {d.name for line in whole for d in line.directions} == {"smile", "wave", "nod"}
    assert not any("x =" in line.text or "[1]" in line.text for line in whole)
    chance = random.Random(0)
    for _ in range(20):
        cuts = sorted(chance.sample(range(1, len(ANSWER)), 12))
        assert list(lines(ANSWER[a:b] for a, b in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True))) == whole
    assert list(lines(ANSWER)) == whole
