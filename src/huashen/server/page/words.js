// Every text of the page, in English and Chinese.
const TEXTS = {
  start: ["Start talking", "开始对话"],
  start_hint: ["Sound will play. What you say or type stays on this server unless an online voice or service is chosen.", "将播放声音。除非选用了在线嗓音或云服务，您说的、写的都不会离开这台服务器。"],
  ask: ["Ask", "提问"], say: ["Have it said", "让他说"],
  ask_placeholder: ["Ask something…", "想问点什么？"], say_placeholder: ["Type what shall be said…", "输入要说的话…"],
  microphone: ["Microphone", "麦克风"], send: ["Send", "发送"], hush: ["Interrupt", "打断"], settings: ["Settings", "设置"], close: ["Close", "关闭"], apply: ["Use these", "应用"],
  face: ["Face", "形象"], face_hint: ["Your own picture stays on this server and is deleted within ten minutes of your leaving. Use only pictures of people who agreed.", "上传的图片只保存在本服务器，离开后十分钟内删除。请只使用已征得本人同意的图片。"],
  add_face: ["Picture…", "上传…"], voice_engine: ["Speech engine", "语音引擎"], voice: ["Voice", "嗓音"], engine: ["Picture engine", "画面引擎"], answers: ["Answers from", "回答来源"],
  background: ["Background", "背景"], original: ["Own", "原图"], blur: ["Blurred", "虚化"], studio: ["Studio", "影棚"], green: ["Green", "绿幕"], white: ["White", "白色"],
  captions: ["Show captions", "显示字幕"], show_timings: ["Show measured delays", "显示实测延迟"], restart_note: ["Changes begin a new conversation.", "更改后将开始新的对话。"],
  auto: ["Automatic", "自动"], female: ["Female", "女声"], male: ["Male", "男声"], none: ["Nothing: it only repeats", "不回答，只复述"],
  disconnected: ["Not connected", "未连接"], connecting: ["Connecting…", "正在连接…"], preparing: ["Preparing the face…", "正在准备形象…"], reconnecting: ["Connection lost, trying again…", "连接中断，正在重连…"],
  over_webrtc: ["Live (WebRTC)", "实时（WebRTC）"], over_websocket: ["Live (WebSocket: UDP is blocked here)", "实时（WebSocket：此处 UDP 不通）"],
  full: ["All seats are taken; trying again in {0} s", "席位已满，{0} 秒后重试"], ended: ["The conversation has ended", "对话已结束"],
  listening: ["Listening", "正在聆听"], thinking: ["Thinking…", "思考中…"], speaking: ["Speaking", "正在说话"],
  no_microphone: ["The microphone cannot be used: {0}", "无法使用麦克风：{0}"],
  microphone_insecure: ["Browsers give the microphone to https pages and to localhost only.", "浏览器只允许 https 页面或 localhost 使用麦克风。"],
  microphone_denied: ["permission was denied; allow it in the address bar", "权限被拒绝；请在地址栏中允许"],
  no_ears: ["Listening is not set up on this server.", "此服务器未启用语音识别。"],
  token: ["This server wants its token: open the address it printed at its start.", "此服务器需要访问令牌：请打开它启动时显示的网址。"],
  source: ["From {0}", "出自 {0}"], interrupted: ["interrupted", "已打断"], too_large: ["The picture is larger than {0} MB", "图片超过 {0} MB"],
  heard_text: ["understood", "听懂"], text_answer: ["answer", "回答"], answer_sound: ["first sound", "首个声音"], sound_frame: ["first frame", "首帧"], total: ["in all", "合计"], trip: ["round trip", "往返"], late: ["late frames", "迟到帧"],
  welcome: ["Say hello", "打个招呼吧"], welcome_say: ["Type a sentence and it is spoken with this face. Try one:", "输入一句话，由这张脸说出来。先试一句："],
  welcome_ask: ["Ask something; the answer is spoken. Or try:", "提一个问题，答案会说给您听。或者先试试："],
  try_1: ["Hello! I am Huashen, and I say whatever you type. [smile]", "你好！我是化身，你写什么，我就说什么。[微笑]"],
  try_2: ["She sells sea shells by the sea shore, while Peter Piper picks a peck of pickled peppers.", "四是四，十是十，十四是十四，四十是四十。"],
  try_3: ["Welcome to our shop! Today everything blue is half the price, but only until midnight.", "欢迎来到直播间！今天下单的朋友，全部享受五折优惠，仅限今晚十二点之前。"],
  example: ["Example", "示例"],
  tap_sound: ["Tap for sound", "点按以播放声音"], failed: ["Something went wrong: {0}", "出错了：{0}"],
};

let chosen = localStorage.getItem("language") || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
export const language = () => chosen;
export function choose(next) { chosen = next; localStorage.setItem("language", next); }
export const words = (key, ...parts) => (TEXTS[key] ? TEXTS[key][chosen === "zh" ? 1 : 0] : key).replace(/\{(\d)\}/g, (_, i) => parts[i] ?? "");
