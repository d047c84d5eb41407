"""What of an answer is not read aloud."""

import pytest

from huashen.chat.aloud import without_code


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_code_is_left_out_however_the_answer_is_cut(size: int) -> None:
    answer = "Run this:```py\nprint(1)\n```then `that`. ```x``` Done."
    pieces = [answer[k : k + size] for k in range(0, len(answer), size)]
    assert "".join(without_code(pieces)) == "Run this:\nthen `that`. \n Done."


def test_code_that_does_not_end_is_not_read() -> None:
    assert "".join(without_code(["Look: ```", "for ever"])) == "Look: "
