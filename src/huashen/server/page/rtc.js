// The session over WebRTC: picture and sound in one stream, the microphone back, a data channel for the events.

const FIRST = 20_000; // milliseconds for the first frame: a server that does much else prepares the face meanwhile

export async function overRTC(session, { video, microphone, onEvent, onLost, patience }) {
  const peer = new RTCPeerConnection({ iceServers: session.ice_servers });
  const stream = new MediaStream();
  const picture = peer.addTransceiver("video", { direction: "recvonly" });
  const sound = peer.addTransceiver("audio", { direction: "sendrecv" });
  prefer(picture, session.codec);
  if (microphone) await sound.sender.replaceTrack(microphone);
  const channel = peer.createDataChannel("events");
  channel.onmessage = ({ data }) => onEvent(JSON.parse(data));
  peer.ontrack = ({ track }) => { stream.addTrack(track); video.srcObject = stream; };
  let over = false, pinging = 0;
  const close = () => { over = true; clearInterval(pinging); peer.close(); video.srcObject = null; };
  const until = async (done) => {
    while (!over && !await done()) {
      if (peer.connectionState === "failed") throw new Error("failed");
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  };
  try {
    await peer.setLocalDescription();
    await peer.setRemoteDescription(await session.post("offer", { type: "offer", sdp: await gathered(peer) }));
    await within(patience, until(() => peer.connectionState === "connected"));
    await within(FIRST, until(() => received(peer))); // connected is not enough: a frame has to have come
  } catch (error) { close(); throw error; }
  peer.onconnectionstatechange = () => { if (!over && ["failed", "disconnected", "closed"].includes(peer.connectionState)) lost(); };
  let losing = 0;
  const lost = () => { clearTimeout(losing); losing = setTimeout(() => { if (!over && peer.connectionState !== "connected") { close(); onLost(); } }, 2500); };
  pinging = setInterval(async () => {
    if (channel.readyState === "open") channel.send(JSON.stringify({ type: "ping", at: performance.now() }));
  }, 3000);
  await video.play().catch(() => {});
  return {
    kind: "webrtc", close,
    send: (event) => { if (channel.readyState === "open") channel.send(JSON.stringify(event)); },
    setMicrophone: (track) => sound.sender.replaceTrack(track),
    stats: () => peer.getStats(),
  };
}

function prefer(transceiver, name) {
  const codecs = globalThis.RTCRtpReceiver?.getCapabilities?.("video")?.codecs;
  if (!name || !codecs || !transceiver.setCodecPreferences) return;
  const mine = (codec) => codec.mimeType.toLowerCase() === `video/${name}`;
  transceiver.setCodecPreferences([...codecs.filter(mine), ...codecs.filter((codec) => !mine(codec))]);
}

async function received(peer) {
  let frames = 0;
  for (const report of (await peer.getStats()).values()) if (report.type === "inbound-rtp" && report.kind === "video") frames += report.framesDecoded || 0;
  return frames;
}

function gathered(peer) { // all candidates in the offer: one request is enough; a server that cannot be reached does not hold it up
  return new Promise((resolve) => {
    const done = () => resolve(peer.localDescription.sdp);
    if (peer.iceGatheringState === "complete") return done();
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
    setTimeout(done, 700);
  });
}

export const within = (ms, promise) => {
  let timer = 0;
  return Promise.race([promise, new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("timeout")), ms); })]).finally(() => clearTimeout(timer));
};
