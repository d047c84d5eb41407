"""A process that carries a stream to a server: FLV comes in on standard input and goes out to an address.

    python -m huashen.server.relay FORMAT < address, a line end, then FLV

Connecting may take as long as the network likes, and PyAV holds Python's lock meanwhile (18.1); in a process of its own that holds up
nobody. The address comes on standard input because it holds the key to somebody's channel, and arguments are seen by every user of a
machine. It writes one byte when the server has taken the first packet, and ends with the reason on its error stream.
"""

import sys
from typing import BinaryIO

OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}}


def carry(source: BinaryIO, told: BinaryIO, kind: str) -> None:
    """Carry a stream until its end.

    Args:
        source: the address on a line, then FLV.
        told: gets one byte at the first packet taken.
        kind: FFmpeg's name of the format the server wants.
    """
    import av

    address = source.readline().decode().strip()
    first = True
    with (
        av.open(source, "r", format="flv", options={"fflags": "nobuffer", "analyzeduration": "600000"}) as coming,
        av.open(address, "w", format=kind, container_options=OPTIONS.get(kind, {})) as going,
    ):
        ways = {stream.index: going.add_stream_from_template(stream) for stream in coming.streams if stream.type in ("video", "audio")}
        for packet in coming.demux():
            if packet.dts is None or packet.stream.index not in ways:
                continue
            packet.stream = ways[packet.stream.index]
            going.mux(packet)
            if first:
                told.write(b"+")
                told.flush()
                first = False


def main() -> int:
    """Carry standard input to where its first line says."""
    import av

    try:
        carry(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])
    except (av.FFmpegError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
