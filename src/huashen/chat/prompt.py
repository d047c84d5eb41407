"""What a language model is told: its role, the turns before, and the question."""

from collections.abc import Sequence

from huashen.chat import Message
from huashen.errors import InputError, TooLargeError
from huashen.words import tr

BASE_URL = "https://api.openai.com/v1"
"""Where a model is asked when nothing else is said."""
SYSTEM = (
    "You are a digital human: a friendly person on a screen who speaks aloud. Answer in the language of the question, in a few short "
    "spoken sentences, without markdown, lists, tables, code or emoji. You may show a gesture by writing [smile] [nod] [shake] [wave] "
    "[think] [laugh] [surprised] [sad] where it fits, seldom more than one in an answer."
)


def fitting(question: str, limit: int) -> str:
    """Return a question without the space around it.

    Raises:
        InputError: it is empty.
        TooLargeError: it has more characters than the limit.
    """
    asked = question.strip()
    if not asked:
        raise InputError(tr("the question is empty; ask something", "问题为空；请提问"))
    if len(asked) > limit:
        raise TooLargeError(tr(
            f"the question has {len(asked)} characters; at most {limit} are possible", f"问题有 {len(asked)} 个字符；最多 {limit} 个",
        ))  # fmt: skip
    return asked


def messages(system: str, history: Sequence[Message], question: str, limit: int) -> list[dict[str, str]]:
    """Return the messages of a request: the role, as many of the latest turns as fit, the question.

    Args:
        system: the model's role; empty: none.
        history: earlier turns, oldest first.
        question: what is asked now.
        limit: characters of earlier turns.
    """
    kept: list[Message] = []
    room = limit
    for message in reversed(history):
        room -= len(message.text)
        if room < 0:
            break
        kept.insert(0, message)
    while kept and kept[0].role == "assistant":  # an answer whose question is left out helps nobody, and some services refuse it
        kept.pop(0)
    turns = [{"role": "system", "content": system}] if system else []
    for message in (*kept, Message("user", question)):
        if turns and turns[-1]["role"] == message.role:  # a turn that was stopped before its answer; services want them to alternate
            turns[-1] = {"role": message.role, "content": f"{turns[-1]['content']}\n{message.text}"}
        else:
            turns.append({"role": message.role, "content": message.text})
    return turns
