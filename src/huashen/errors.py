"""The error tree. Each text says what happened, with which input, and what to do; the exit code belongs to the class.

HuashenError                 1   anything Huashen itself raises
├── InputError               2   the caller's input cannot be used
│   ├── UnreadableError      2   a file is missing, broken, or not of the kind wanted
│   ├── NoFaceError          2   no face where one is needed
│   ├── NoSpeechError        2   an empty text, a sound without samples, silence only
│   ├── UnknownEngineError   2   an engine, voice or language of that name does not exist
│   └── TooLargeError        2   over a stated limit
├── MissingError             3   something that can be installed or fetched is not here
│   ├── MissingWeightsError  3   a weight file
│   └── MissingPartError     3   a Python package, an extra or a program
├── OutputError              4   the result cannot be written (no room, no right, unknown ending)
├── EngineError              5   an engine or a program it drives failed
└── StoppedError           130   the user interrupted
"""


class HuashenError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class InputError(HuashenError):
    """The caller's input cannot be used."""

    exit_code = 2


class UnreadableError(InputError):
    """A file is missing, broken, or not of the kind wanted."""


class NoFaceError(InputError):
    """No face where one is needed."""


class NoSpeechError(InputError):
    """Nothing to say: an empty text, a sound without samples, or silence only."""


class UnknownEngineError(InputError):
    """No engine, voice or language of that name; the text lists those there are."""


class TooLargeError(InputError):
    """An input over a stated limit."""


class MissingError(HuashenError):
    """Something that can be installed or fetched is not here."""

    exit_code = 3


class MissingWeightsError(MissingError):
    """A weight file is not in the store and could not be fetched."""


class MissingPartError(MissingError):
    """A Python package, an extra or a program is not installed."""


class OutputError(HuashenError):
    """The result cannot be written."""

    exit_code = 4


class EngineError(HuashenError):
    """An engine, or a program it drives, failed."""

    exit_code = 5


class StoppedError(HuashenError):
    """The user interrupted the work."""

    exit_code = 130
