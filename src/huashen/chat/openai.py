"""Any server that speaks OpenAI's protocol for chat: OpenAI, vLLM, Ollama, DashScope, Zhipu …"""

from collections.abc import Sequence

from huashen import config
from huashen.chat import Message, Reply
from huashen.chat.prompt import BASE_URL, SYSTEM, fitting, messages
from huashen.errors import InputError
from huashen.service import Service
from huashen.words import tr


class OpenAI:
    """A language model behind OpenAI's protocol.

    Args:
        base_url: the service's address up to and including /v1; without it `OPENAI_BASE_URL`, else OpenAI's own.
        model: the model's name, as the service knows it.
        key: the service's key; without it `OPENAI_API_KEY`. Servers of one's own need none.
        system: what the model is told of its role; without it, to speak shortly, without markdown, in the user's language.
        temperature: 0 to 2; the service's own default without it.
        max_tokens: longest answer; without it, the service's own.
        timeout: longest silence of the service in seconds.
        retries: further tries after 429, 5xx or a failed connection.
        history: characters of earlier turns that are sent along.
        max_question: characters of a question.

    Raises:
        InputError: no model is named, or the address is not usable.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        model: str | None = None,
        key: str | None = None,
        system: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float = 30.0,
        retries: int = 2,
        history: int = 8000,
        max_question: int = 4000,
    ) -> None:
        if not model:
            raise InputError(tr(
                "say which model is to answer, such as model=glm-4-flash or qwen-plus or llama3.2",
                "请指定用哪个模型作答，例如 model=glm-4-flash、qwen-plus 或 llama3.2",
            ))  # fmt: skip
        self.service = Service(
            base_url or config.service_url() or BASE_URL, config.service_key() if key is None else key, timeout=timeout, retries=retries
        )
        self._system = SYSTEM if system is None else system
        self._options = {"model": model} | {
            name: value for name, value in (("temperature", temperature), ("max_tokens", max_tokens)) if value is not None
        }
        self._history = history
        self._max_question = max_question

    def reply(self, question: str, history: Sequence[Message] = ()) -> Reply:
        """Answer a question (see `Chat`)."""
        asked = fitting(question, self._max_question)
        pieces, cancel = self.service.stream(self._options | {"messages": messages(self._system, history, asked, self._history)})
        return Reply(pieces, cancel=cancel)
