// The same session over one WebSocket: for networks that let no UDP through. Sound is the clock, pictures follow it.

const SOUND = 1, JPEG = 2, H264_KEY = 3, H264 = 4;

export async function overSocket(session, { canvas, context, output, microphone, onEvent, onLost, onShown }) {
  const codec = await decodes() ? "h264" : "jpeg";
  const address = new URL(`v1/sessions/${session.id}/stream?video=${codec}`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = () => reject(new Error("WebSocket")); });
  await context.audioWorklet.addModule("worklet.js");
  const player = new AudioWorkletNode(context, "player", {
    numberOfInputs: 0, outputChannelCount: [1], processorOptions: { rate: session.rate, start: 0.12, most: 0.6 },
  });
  player.connect(output);
  let heard = null; // {at: moment of the stream, when: moment of the audio clock}
  player.port.onmessage = ({ data }) => { heard = data; };

  const waiting = []; // {at, image}
  const canvas2d = canvas.getContext("2d", { alpha: false });
  let decoder = null;
  if (codec === "h264") {
    decoder = new VideoDecoder({ output: (frame) => waiting.push({ at: frame.timestamp / 1e6, image: frame }), error: (error) => { console.warn(error); lose(); } });
    decoder.configure({ codec: "avc1.42E01F", optimizeForLatency: true });
  }
  let over = false, began = false, pinging = 0;
  socket.onmessage = async ({ data }) => {
    if (typeof data === "string") return onEvent(JSON.parse(data));
    const view = new DataView(data), kind = view.getUint8(0), at = view.getFloat64(1, true);
    if (kind === SOUND) {
      const sound = new Int16Array(data.slice(9)), samples = new Float32Array(sound.length);
      for (let i = 0; i < sound.length; i++) samples[i] = sound[i] / 32768;
      player.port.postMessage({ at, samples }, [samples.buffer]);
    } else if (kind === JPEG) {
      const image = await createImageBitmap(new Blob([new Uint8Array(data, 9)], { type: "image/jpeg" }));
      waiting.push({ at, image });
    } else if (decoder.state === "configured" && (began || kind === H264_KEY)) {
      began = true;
      decoder.decode(new EncodedVideoChunk({ type: kind === H264_KEY ? "key" : "delta", timestamp: Math.round(at * 1e6), data: new Uint8Array(data, 9) }));
    }
  };
  const show = () => {
    if (over) return;
    requestAnimationFrame(show);
    // What the ear gets now left the audio thread `outputLatency` ago. While no sound plays (the browser waits for a touch) pictures come as they are.
    const now = heard && context.state === "running" ? heard.at + (context.currentTime - heard.when) - (context.outputLatency || 0) : Infinity;
    let next = null;
    while (waiting.length && (waiting[0].at <= now || waiting.length > 30)) { next?.image.close(); next = waiting.shift(); }
    if (!next) return;
    const { image } = next, [width, height] = [image.displayWidth || image.width, image.displayHeight || image.height];
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    canvas2d.drawImage(image, 0, 0);
    image.close();
    onShown?.(next.at, now);
  };
  show();
  const close = () => {
    over = true; clearInterval(pinging); socket.close(); player.disconnect(); taker?.disconnect(); tap?.disconnect();
    waiting.splice(0).forEach(({ image }) => image.close());
    if (decoder && decoder.state !== "closed") decoder.close();
  };
  const lose = () => { if (!over) { close(); onLost(); } };
  socket.onclose = lose;
  pinging = setInterval(() => socket.send(JSON.stringify({ type: "ping", at: performance.now() })), 3000);

  let taker = null, tap = null;
  const setMicrophone = async (track) => {
    tap?.disconnect(); taker?.disconnect(); tap = taker = null;
    if (!track) return;
    tap = context.createMediaStreamSource(new MediaStream([track]));
    taker = new AudioWorkletNode(context, "taker", { numberOfOutputs: 0 });
    taker.port.onmessage = ({ data }) => { if (socket.readyState === WebSocket.OPEN) socket.send(data); };
    tap.connect(taker);
  };
  await setMicrophone(microphone);
  return { kind: "websocket", close, send: (event) => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event)); }, setMicrophone, silence: () => player.port.postMessage("clear"), stats: () => null };
}

async function decodes() {
  if (!globalThis.VideoDecoder) return false; // only https pages and localhost have it
  try { return (await VideoDecoder.isConfigSupported({ codec: "avc1.42E01F", optimizeForLatency: true })).supported; } catch { return false; }
}
