// Every text of the page, in English and Chinese.
const TEXTS = {
  start: ["Start talking", "开始对话"], again: ["Start again", "重新开始"], retry: ["Try again", "重试"], cancel: ["Cancel", "取消"],
  start_hint: ["Sound will play. What you say or type stays on this server unless an online voice or service is chosen.", "将播放声音。除非选用了在线嗓音或云服务，您说的、写的都不会离开这台服务器。"],
  synthetic: ["Synthetic person", "AI 合成人物"], live_view: ["Live view", "实时画面"], person: ["Live picture: {0}", "实时画面：{0}"], conversation: ["Conversation", "对话"],
  ask: ["Ask", "提问"], say: ["Say my words", "照着说"], mode: ["What happens with your text", "如何处理您的文字"],
  ask_placeholder: ["Ask something…", "想问点什么？"], say_placeholder: ["Type what shall be said…", "输入要说的话…"],
  keys: ["Enter sends · Esc interrupts", "回车发送 · Esc 打断"], count: ["{0} characters too many", "超出 {0} 个字"], left: ["{0} characters left", "还可输入 {0} 字"],
  microphone: ["Microphone", "麦克风"], send: ["Send", "发送"], hush: ["Interrupt (Esc)", "打断（Esc）"], settings: ["Settings", "设置"], close: ["Close", "关闭"], apply: ["Use these", "应用"],
  mute: ["Sound off", "静音"], fullscreen: ["Full screen", "全屏"], end: ["End the conversation", "结束对话"], latest: ["To the newest", "回到最新"], i_listen: ["Listening to you", "正在听您说"],
  face: ["Face", "形象"], add_face: ["Your picture", "上传图片"], voice_engine: ["Speech engine", "语音引擎"], voice: ["Voice", "嗓音"], engine: ["Picture engine", "画面引擎"], answers: ["Answers from", "回答来源"],
  style: ["Mouth moves like", "口型风格"], own_style: ["This face's own", "此形象自己的"],
  background: ["Background", "背景"], original: ["As it is", "原图"], blur: ["Blurred", "虚化"], studio: ["Studio", "影棚"], green: ["Green", "绿幕"], white: ["White", "白色"],
  captions: ["Captions under the picture", "画面下方显示字幕"], show_timings: ["Measured delays, from the last word to the first frame", "实测延迟：从说完到首帧"], restart_note: ["Changes begin a new conversation.", "更改后将开始新的对话。"],
  auto: ["Automatic", "自动"], female: ["Female", "女声"], male: ["Male", "男声"], none: ["Nothing: it only repeats", "不回答，只复述"],
  faq: ["Documents", "文档"], rag: ["Documents and a language model", "文档加语言模型"], openai: ["A language model", "语言模型"],
  bring: ["Use this picture?", "使用这张图片？"], bring_hint: ["It stays on this server and is deleted within ten minutes of your leaving.", "图片只保存在本服务器，离开后十分钟内删除。"],
  agreed: ["This is me, or the person shown has agreed to it.", "这是我本人，或已征得图中人的同意。"], bring_go: ["Use it", "使用"], bring_busy: ["Looking for a face…", "正在寻找人脸…"],
  drop: ["Drop a picture of a face here", "把人像图片拖放到这里"], no_picture: ["That is no picture; drop a JPEG, PNG or WebP of a face.", "这不是图片；请拖放 JPEG、PNG 或 WebP 格式的人像。"], no_uploads: ["This server takes no pictures.", "此服务器不接受上传图片。"],
  disconnected: ["Not connected", "未连接"], connecting: ["Connecting…", "正在连接…"], preparing: ["Preparing the face…", "正在准备形象…"], reconnecting: ["Connection lost, trying again…", "连接中断，正在重连…"],
  over_webrtc: ["Live", "实时"], over_websocket: ["Live", "实时"], webrtc: ["over WebRTC", "经 WebRTC"], websocket: ["over a WebSocket", "经 WebSocket"],
  full: ["All seats are taken. Trying again in {0} s", "席位已满，{0} 秒后重试"], queued: ["Waiting for a seat", "等待席位"], ended: ["The conversation has ended", "对话已结束"], gone: ["The connection to the server is lost.", "与服务器的连接已断开。"],
  unreachable: ["The server cannot be reached. Is it still running?", "无法连接服务器。它还在运行吗？"], offline: ["Server not reached", "服务器不可达"],
  listening: ["Listening", "正在聆听"], thinking: ["Thinking…", "思考中…"], speaking: ["Speaking", "正在说话"],
  no_microphone: ["The microphone cannot be used: {0}", "无法使用麦克风：{0}"],
  microphone_insecure: ["browsers give it to https pages and to localhost only", "浏览器只允许 https 页面或 localhost 使用"],
  microphone_denied: ["permission was denied. Allow it beside the address, then try again; typing works all the same.", "权限被拒绝。请在地址栏旁允许后重试；打字仍可使用。"],
  microphone_none: ["there is none on this device", "此设备没有麦克风"], microphone_taken: ["another program holds it", "被其他程序占用"],
  token: ["This server wants its token. It is in the address that was printed when it started.", "此服务器需要访问令牌，就在启动时显示的网址里。"], token_wrong: ["That token is not right.", "令牌不正确。"], token_word: ["Token", "令牌"], token_go: ["Go on", "继续"], locked: ["Token needed", "需要令牌"],
  source: ["From {0}", "出自 {0}"], too_large: ["The picture is larger than {0} MB; choose a smaller one.", "图片超过 {0} MB，请换一张较小的。"], copy: ["Copy", "复制"], copied: ["Copied", "已复制"], new_one: ["New conversation", "新的对话"],
  timings: ["Measured delays", "实测延迟"], heard: ["heard", "听到"], heard_text: ["text", "文字"], text_answer: ["answer", "回答"], answer_sound: ["first sound", "首声"], sound_frame: ["first frame", "首帧"], total: ["in all", "合计"], trip: ["round trip", "往返"], late: ["late frames", "迟到帧"],
  no_timings: ["The delays of the first answer will stand here", "首次回答的各项延迟将显示在这里"], ms: ["{0} ms", "{0} 毫秒"], s: ["{0} s", "{0} 秒"],
  welcome: ["Say hello", "打个招呼吧"], welcome_say: ["Type a sentence and it is spoken with this face. Try one:", "输入一句话，由这张脸说出来。先试一句："],
  welcome_ask: ["Ask something; the answer is spoken. Or have one of these said:", "提一个问题，答案会说给您听。也可以先听一句："],
  try_1: ["Hello! I am Huashen, and I say whatever you type. [smile]", "你好！我是化身，你写什么，我就说什么。[微笑]"],
  try_2: ["She sells sea shells by the sea shore, while Peter Piper picks a peck of pickled peppers.", "四是四，十是十，十四是十四，四十是四十。"],
  try_3: ["Welcome to our shop! Today everything blue is half the price, but only until midnight.", "欢迎来到直播间！今天下单的朋友，全部享受五折优惠，仅限今晚十二点之前。"],
  example: ["Example portrait", "示例形象"],
  tap_sound: ["Tap for sound", "点按以播放声音"], failed: ["Something went wrong: {0}", "出错了：{0}"],
};

const stored = localStorage.getItem("language");
let chosen = stored || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
export const language = () => chosen;
export function choose(next) { chosen = next; localStorage.setItem("language", next); }
export const words = (key, ...parts) => (TEXTS[key] ? TEXTS[key][chosen === "zh" ? 1 : 0] : key).replace(/\{(\d)\}/g, (_, i) => parts[i] ?? "");
