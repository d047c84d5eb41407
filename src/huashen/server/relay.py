"""A process that carries a stream to a server: FLV comes in on standard input and goes out to an address.

    python -m huashen.server.relay FORMAT < address, a line end, a sample's size, a line end, the sample, then the stream; both are FLV

A sample tells what will come: with it the connection is made before there is a stream, so nothing waits for it and grows old.
Connecting may take as long as the network likes, and PyAV holds Python's lock meanwhile (18.1); in a process of its own that holds up
nobody. The address comes on standard input because it holds the key to somebody's channel, and arguments are seen by every user of a
machine. It writes one byte when the connection is there, and ends with the reason on its error stream. For SRT there is no sample.
"""

import subprocess
import sys
import threading
from io import BytesIO
from typing import BinaryIO

OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}}


def carry(source: BinaryIO, told: BinaryIO, kind: str) -> None:
    """Carry a stream until its end.

    Args:
        source: the address on a line, a sample after its size on a line, then FLV.
        told: gets one byte when the server is there; nothing of the stream needs to have come.
        kind: FFmpeg's name of the format the server wants.
    """
    import av

    address = source.readline().decode().strip()
    sample = BytesIO(source.read(int(source.readline())))
    with av.open(sample, "r", format="flv") as like, av.open(address, "w", format=kind, container_options=OPTIONS.get(kind, {})) as going:
        ways = {stream.type: going.add_stream_from_template(stream) for stream in like.streams if stream.type in ("video", "audio")}
        going.start_encoding()
        told.write(b"+")
        told.flush()
        with av.open(source, "r", format="flv", options={"fflags": "nobuffer", "analyzeduration": "1"}) as coming:
            for packet in coming.demux():
                if packet.dts is not None and packet.stream.type in ways:
                    packet.stream = ways[packet.stream.type]
                    going.mux(packet)


def carry_by_ffmpeg(source: BinaryIO, told: BinaryIO) -> int:
    """Carry a stream to an SRT address by the program ffmpeg: PyAV's wheels are built without SRT.

    Args:
        source: the address on a line, then FLV.
        told: gets one byte when ffmpeg reports its first progress.
    """
    address = source.readline().decode().strip()
    told_by = ["-hide_banner", "-loglevel", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.5"]
    coming = ["-fflags", "nobuffer", "-analyzeduration", "600000", "-f", "flv", "-i", "pipe:0"]
    command = ["ffmpeg", *told_by, *coming, "-c", "copy", "-f", "mpegts", address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    reports = process.stdout

    def watch() -> None:
        for line in reports:
            if line.startswith(b"total_size=") and line.strip() not in (b"total_size=0", b"total_size=N/A"):
                told.write(b"+")
                told.flush()
                break
        for _ in reports:  # read on, or ffmpeg waits for a reader
            pass

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        while piece := source.read1(65_536):  # type: ignore[attr-defined]
            process.stdin.write(piece)
            process.stdin.flush()
        process.stdin.close()
    finally:
        code = process.wait(10)
    watching.join(1)
    return code


def main() -> int:
    """Carry standard input to where its first line says."""
    import av

    try:
        if sys.argv[1] == "mpegts":
            return carry_by_ffmpeg(sys.stdin.buffer, sys.stdout.buffer)
        carry(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])
    except (av.FFmpegError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error.strerror or error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
