"""What of an answer is not read aloud. Stage directions such as [smile] are the live session's business (`huashen.live.gestures`)."""

from collections.abc import Iterable, Iterator


def without_code(pieces: Iterable[str]) -> Iterator[str]:
    """Leave out fenced code blocks (``` to ```): nobody wants them read aloud."""
    held, inside = "", False
    for piece in pieces:
        held += piece
        while True:
            fence = held.find("```")
            if fence < 0:
                keep = len(held) - len(held.rstrip("`"))
                if not inside and len(held) > keep:
                    yield held[: len(held) - keep]
                held = held[len(held) - keep :]
                break
            if not inside and held[:fence]:
                yield held[:fence]
            elif inside:
                yield "\n"
            held, inside = held[fence + 3 :], not inside
    if held and not inside:
        yield held
