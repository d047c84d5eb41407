// Runs in the browser's audio thread: plays sound that came over the WebSocket, and takes the microphone's.

class Player extends AudioWorkletProcessor {
  // Holds a little sound, so that the network may stumble; tells every 20 ms which moment of the stream is heard.
  constructor(options) {
    super();
    this.rate = options.processorOptions.rate;
    this.pieces = []; // {at: seconds, samples}
    this.offset = 0; // in the first piece, in its own samples
    this.playing = false;
    this.told = 0;
    this.start = options.processorOptions.start; // seconds held before playing begins
    this.most = options.processorOptions.most; // seconds: more than that is caught up by skipping
    this.port.onmessage = ({ data }) => {
      if (data === "clear") { this.pieces = []; this.offset = 0; this.playing = false; return; }
      this.pieces.push(data);
      while (this.held() > this.most && this.pieces.length > 1) { this.pieces.shift(); this.offset = 0; }
    };
  }
  held() { return this.pieces.reduce((sum, piece) => sum + piece.samples.length, -this.offset) / this.rate; }
  process(_, outputs) {
    const out = outputs[0][0];
    if (!this.playing && this.held() >= this.start) this.playing = true;
    const step = this.rate / sampleRate;
    let at = null;
    for (let i = 0; i < out.length && this.playing; i++) {
      const piece = this.pieces[0];
      if (!piece) { this.playing = false; break; }
      const here = Math.floor(this.offset), part = this.offset - here;
      const next = here + 1 < piece.samples.length ? piece.samples[here + 1] : this.pieces[1] ? this.pieces[1].samples[0] : piece.samples[here];
      out[i] = piece.samples[here] * (1 - part) + next * part;
      at = piece.at + this.offset / this.rate;
      this.offset += step;
      if (this.offset >= piece.samples.length) { this.offset -= piece.samples.length; this.pieces.shift(); }
    }
    if (at !== null && currentTime - this.told > 0.02) { this.told = currentTime; this.port.postMessage({ at, held: this.held(), when: currentTime }); }
    return true;
  }
}

class Taker extends AudioWorkletProcessor {
  // Gives the microphone's sound as 16 bit at 16 kHz, 40 ms a piece; a mean over each step keeps what is above 8 kHz down.
  constructor() { super(); this.sum = 0; this.count = 0; this.phase = 0; this.out = new Int16Array(640); this.filled = 0; }
  process(inputs) {
    const sound = inputs[0][0];
    if (!sound) return true;
    const step = 16000 / sampleRate;
    for (const sample of sound) {
      this.sum += sample; this.count++; this.phase += step;
      if (this.phase < 1) continue;
      this.phase -= 1;
      this.out[this.filled++] = Math.max(-1, Math.min(1, this.sum / this.count)) * 32767;
      this.sum = this.count = 0;
      if (this.filled === this.out.length) { this.port.postMessage(this.out.slice().buffer); this.filled = 0; }
    }
    return true;
  }
}

registerProcessor("player", Player);
registerProcessor("taker", Taker);
