"""A channel pushed to a real RTMP server for a long time: late and dropped pictures, time stamps, memory.

    python benchmarks/push.py [--minutes 5] [--size 512] [--kill] [--hurried] [--clip FILE] [--keep FOLDER]

Wants Debian's nginx with its RTMP module (apt install nginx libnginx-mod-rtmp). A play-list of sentences in two languages, and a clip
where one is given, runs in a loop. With --kill the server is killed half-way and started again ten seconds later. What the server
recorded is read back: every step between time stamps, the last one compared with the clock, and sound with picture.

With --hurried the channel runs as fast as it can be drawn and encoded, minutes being its own, and the server is killed at every
tenth of them: what days leave in memory shows in an hour.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from huashen.config import one_thread_for_matrices

one_thread_for_matrices()

import av  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402

from huashen import live  # noqa: E402
from huashen.live.clock import Hurried  # noqa: E402
from huashen.server.house import House, seen_faces  # noqa: E402
from huashen.server.playlist import Playlist  # noqa: E402
from huashen.server.push import Output  # noqa: E402
from huashen.server.room import Room  # noqa: E402
from huashen.server.run import few_arenas  # noqa: E402

MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
LIST = "say: Hello and welcome. This is a channel that never stops.\npause: 1\nsay: 欢迎来到直播间，今天我们聊一聊数字人。\npause: 2\n"


def serve(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(["/usr/sbin/nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return process


def stamps(path: Path) -> tuple[float, float, float, float, float]:
    """Return the first and last time of the picture, the last of the sound, and the longest step of each; times must rise."""
    first, last, sound = None, -1.0, -1.0
    step, sound_step = 0.0, 0.0
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.dts is None:
                continue
            at = float(packet.dts * packet.time_base)
            if packet.stream.type == "video":
                assert at > last, (at, last)
                step = step if first is None else max(step, at - last)
                first, last = at if first is None else first, at
            else:
                assert at >= sound, (at, sound)
                sound_step = sound_step if sound < 0 else max(sound_step, at - sound)
                sound = at
    assert first is not None
    return first, last, sound, step, sound_step


def told(memory: list[float]) -> str:
    """Return what readings of the memory, in MB and evenly spread, say."""
    parts = [memory[len(memory) * k // 10 : len(memory) * (k + 1) // 10] or memory for k in range(10)]
    means = [sum(part) / len(part) for part in parts]
    return f"memory: peak {max(memory):.0f} MB; tenth by tenth {' '.join(f'{mean:.1f}' for mean in means)}"


def hurried(given: argparse.Namespace, folder: Path, port: int) -> None:
    """Let a channel's minutes pass faster than the clock's."""
    session = live.build("example", size=given.size, patient=True, clock=Hurried())
    output = Output(f"rtmp://127.0.0.1:{port}/live/key", session.size, session.fps, session.rate)
    items = Playlist(session, folder / "list.txt")
    items.begin()
    server, me, memory, begin = serve(folder, port), psutil.Process(), [], time.monotonic()
    last = round(given.minutes * 60 * session.fps)
    for frame in session.frames():
        while len(output._frames) > 8:
            time.sleep(0.002)
        output.put(frame)
        if output.condition().state != "running":
            time.sleep(0.04)  # no faster than it can be reached
        if frame.index % round(session.fps) == 0:
            memory.append(me.memory_info().rss / 1e6)
        if frame.index % (last // 10) == 0 and 0 < frame.index < last:
            server.kill()
            server.wait()
            server = serve(folder, port)
        if frame.index == last:
            break
    minutes, condition = (time.monotonic() - begin) / 60, output.condition()
    output.end()
    items.end()
    session.close()
    server.terminate()
    server.wait()
    print(f"{given.minutes:.0f} minutes at {given.size} in {minutes:.1f}; {condition.frames} pictures, {condition.connections} connections")
    half = memory[len(memory) // 10 :]
    slope = float(np.polyfit(np.arange(len(half)) / 60, half, 1)[0])
    print(f"{told(memory)}; {slope:+.3f} MB a minute after the first tenth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--size", default="512")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--hurried", action="store_true")
    parser.add_argument("--clip", type=Path, help="goes into the play-list")
    parser.add_argument("--keep", type=Path, help="a folder for what the server recorded")
    given = parser.parse_args()
    few_arenas()  # as `serve` does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (folder / "got").mkdir()
        (folder / "got").chmod(0o777)
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors;\nload_module {MODULE};\n"
            f"events {{ worker_connections 64; }}\nrtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; "
            f"record {'off' if given.hurried else 'all'}; record_path {folder}/got; record_unique on; }} }} }}\n"
        )
        lines = LIST.replace("pause: ", "pause: 0.") if given.hurried else LIST  # a pause passes by the clock
        (folder / "list.txt").write_text(lines + (f"{given.clip.resolve()}\n" if given.clip else ""), encoding="utf-8")
        if given.hurried:
            hurried(given, folder, port)
            return
        server = serve(folder, port)
        room = Room(House(seen_faces(["example"]), {"size": given.size}), {}, id="channel")
        room.send_to([f"rtmp://127.0.0.1:{port}/live/key"], folder / "list.txt")
        me = psutil.Process()
        room.begin()
        begin, memory, killed, load, spent = time.monotonic(), [], 0.0, [], time.process_time()
        while (passed := time.monotonic() - begin) < given.minutes * 60:
            time.sleep(1)
            if passed > 20:
                memory.append(me.memory_info().rss / 1e6)
                load.append(os.getloadavg()[0])
            if given.kill and not killed and passed > given.minutes * 30:
                killed = time.monotonic()
                server.kill()
                server.wait()
            if killed and server.poll() is not None and time.monotonic() - killed > 10:
                server = serve(folder, port)
        passed, spent = time.monotonic() - begin, time.process_time() - spent
        condition, numbers = room.outputs[0].condition(), room.numbers()
        asyncio.run(room.close())
        server.terminate()
        server.wait()
        files = sorted((folder / "got").glob("*.flv"), key=os.path.getmtime)
        print(
            f"{passed / 60:.1f} minutes at {given.size}: {condition.frames} pictures pushed ({condition.frames / passed:.2f} a second), "
            f"{condition.dropped} left out, {condition.connections} connection(s)"
        )
        print(f"late: {numbers['late_frames']:.0f} of {numbers['frames']:.0f} ({100 * numbers['late_frames'] / numbers['frames']:.3f} %)")
        print(f"{spent / passed:.2f} cores, the machine's load {sum(load) / max(1, len(load)):.1f} of {os.cpu_count()} cores")
        print(told(memory))
        for file in files:
            first, last, sound, step, sound_step = stamps(file)
            apart = 1000 * (sound - last)
            print(
                f"received: picture {first:.2f} to {last:.2f} s, sound to {sound:.2f} s; sound less picture at the end {apart:+.0f} ms; "
                f"longest step {1000 * step:.0f} ms of the picture, {1000 * sound_step:.0f} ms of the sound"
            )
            if given.keep is not None:
                given.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, given.keep)
        print(f"clock less the last time stamp: {passed - last:+.2f} s (what is on its way, and the start)")


if __name__ == "__main__":
    main()
