"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [STEP, AT, LANE, KIND, PEER, MESSAGE, NAME, TEXT, WALLETS, STATES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const K = Object.fromEntries(data.kinds.map((kind, number) => [kind, number]));
const records = data.records, lanes = data.lanes;
const $ = (id) => document.getElementById(id);
const view = $("view"), overview = $("overview");
const colours = ["#2563a8", "#8a5a00", "#2b7d6b", "#8b3fa0", "#54616e", "#b0563b", "#3c6e1f", "#a8376b"];
const LEFT = 96, TOP = 26, NEAR = 14;
// Where on its arrow a message is named: names of neighbours do not lie on each other.
const PARTS = [0.5, 0.28, 0.72];

// Messages: where each was sent, and every time that it came or was lost.
const sent = new Map(), flights = [];
for (let i = 0; i < records.length; i++) {
  const r = records[i];
  if (r[KIND] === K.send) sent.set(r[MESSAGE], i);
  if ([K.deliver, K.drop, K.duplicate].includes(r[KIND]) && r[PEER] >= 0) {
    const from = sent.get(r[MESSAGE]);
    if (r[KIND] !== K.duplicate) flights.push({ from: from === undefined ? i : from, to: i, lost: r[KIND] === K.drop, again: false });
  }
}
const arrivals = new Map();
for (const flight of flights) {
  const seen = arrivals.get(records[flight.to][MESSAGE]) || 0;
  flight.again = seen > 0 && !flight.lost;
  arrivals.set(records[flight.to][MESSAGE], seen + 1);
}
let longest = 0;
for (const flight of flights) longest = Math.max(longest, flight.to - flight.from);
flights.sort((a, b) => a.from - b.from);

// Lanes are dead between a crash and the next restart.
const dead = [];
const died = new Map();
records.forEach((r, i) => {
  if (r[KIND] === K.crash) died.set(r[LANE], i);
  if (r[KIND] === K.restart && died.has(r[LANE])) { dead.push([r[LANE], died.get(r[LANE]), i]); died.delete(r[LANE]); }
});
for (const [lane, from] of died) dead.push([lane, from, records.length - 1]);

const state = { from: 0, to: 1, cursor: 0, wallet: -1, name: -1, find: "", byStep: false, inner: false };
const last = records.length - 1;
// What to look at first: a crash is the last thing that happened.
const crash = data.panic !== null && last >= 0 ? [{ invariant: "crash", step: records[last][STEP], at: records[last][AT] }] : [];
const failures = crash.concat(data.violations), failure = failures[0];
const coordinate = (i) => (state.byStep ? i : records[i] ? records[i][AT] : 0);
const whole = () => { state.from = coordinate(0); state.to = Math.max(coordinate(Math.max(last, 0)), state.from + 1); const pad = (state.to - state.from) * 0.02; state.from -= pad; state.to += pad; };

function firstAt(value) {
  let low = 0, high = records.length;
  while (low < high) { const middle = (low + high) >> 1; if (coordinate(middle) < value) low = middle + 1; else high = middle; }
  return low;
}
function shown(r) {
  if (state.wallet >= 0 && r[WALLETS].length && !r[WALLETS].includes(state.wallet)) return false;
  if (state.wallet >= 0 && !r[WALLETS].length && (r[KIND] === K.send || r[KIND] === K.deliver || r[KIND] === K.drop)) return false;
  if (state.name >= 0 && r[NAME] !== state.name && (r[KIND] <= K.duplicate)) return false;
  if (state.find && !(r[TEXT] + " " + data.names[r[NAME]]).toLowerCase().includes(state.find)) return false;
  return true;
}
function time(us) { return us >= 1e6 || us <= -1e6 ? (us / 1e6).toFixed(3) + " s" : (us / 1e3).toFixed(2) + " ms"; }
function fit(canvas) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const width = Math.max(1, Math.round(box.width * ratio)), height = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return [context, box.width, box.height];
}

function draw() {
  const [c, width, height] = fit(view);
  const scale = (width - LEFT - 12) / (state.to - state.from);
  const x = (i) => LEFT + (coordinate(i) - state.from) * scale;
  const gap = Math.max(18, (height - TOP - 20) / Math.max(1, lanes.length));
  const y = (lane) => TOP + gap * (lane + 0.5);
  const first = Math.max(0, firstAt(state.from)), end = Math.min(records.length, firstAt(state.to) + 1);
  const many = end - first, busy = many > 4000, alpha = many > 12000 ? 0.12 : busy ? 0.25 : many > 800 ? 0.5 : 0.9;
  axis(c, width, height, scale);
  c.save(); c.beginPath(); c.rect(LEFT, 0, width - LEFT, height); c.clip();
  drawLanes(c, width, x, y);
  drawFlights(c, x, y, first, end, alpha, many, scale);
  drawPoints(c, x, y, first, end, many);
  if (records.length) vertical(c, height, x(state.cursor), "rgba(210,154,0,.45)", 6, "");
  drawFailures(c, height, scale);
  c.restore();
  c.fillStyle = "#1c2733"; c.font = "12px system-ui"; c.textAlign = "right"; c.textBaseline = "middle";
  lanes.forEach((name, lane) => c.fillText(name, LEFT - 8, y(lane)));
  $("range").textContent = `${many} of ${records.length} steps in view`;
  drawOverview();
}
function axis(c, width, height, scale) {
  const target = 110 / scale, power = Math.pow(10, Math.floor(Math.log10(target)));
  const tick = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= target) || target;
  c.font = "11px system-ui"; c.textAlign = "center"; c.textBaseline = "top"; c.lineWidth = 1;
  for (let value = Math.ceil(state.from / tick) * tick; value < state.to; value += tick) {
    const px = LEFT + (value - state.from) * scale;
    c.strokeStyle = "#eef1f4"; c.beginPath(); c.moveTo(px, TOP - 6); c.lineTo(px, height); c.stroke();
    c.fillStyle = "#68717d"; c.fillText(state.byStep ? String(Math.round(value)) : time(value), px, 5);
  }
}
function drawLanes(c, width, x, y) {
  c.lineWidth = 1.2; c.strokeStyle = "#aab3bd";
  lanes.forEach((_, lane) => { c.beginPath(); c.moveTo(LEFT, y(lane)); c.lineTo(width, y(lane)); c.stroke(); });
  for (const [lane, from, to] of dead) {
    c.fillStyle = "#f6dcdc"; c.fillRect(x(from), y(lane) - 7, Math.max(2, x(to) - x(from)), 14);
  }
}
function drawFlights(c, x, y, first, end, alpha, many, scale) {
  let low = 0, high = flights.length;
  while (low < high) { const middle = (low + high) >> 1; if (flights[middle].from < first - longest) low = middle + 1; else high = middle; }
  for (let f = low; f < flights.length && flights[f].from < end; f++) {
    const flight = flights[f];
    if (flight.to < first) continue;
    const a = records[flight.from], b = records[flight.to];
    if (!shown(b)) continue;
    const alone = flight.from === flight.to;
    const x0 = x(flight.from), y0 = y(alone ? b[LANE] : a[LANE]);
    const target = a[LANE] === b[LANE] ? b[PEER] : b[LANE];
    let x1 = x(flight.to), y1 = y(target);
    if (flight.lost) { const part = alone ? 0.35 : 0.7; x1 = x0 + (x1 - x0) * part + (alone ? 8 : 0); y1 = y0 + (y1 - y0) * part; }
    const colour = flight.lost ? "#c4161c" : colours[b[NAME] % colours.length];
    c.globalAlpha = flight.lost ? Math.max(alpha, 0.6) : alpha; c.strokeStyle = colour; c.fillStyle = colour; c.lineWidth = 1;
    c.setLineDash(flight.again ? [4, 3] : []);
    c.beginPath(); c.moveTo(x0, y0); c.lineTo(x1, y1); c.stroke(); c.setLineDash([]);
    if (flight.lost) { if (many <= 4000) cross(c, x1, y1, 3.5); }
    else if (many <= 1500) arrow(c, x0, y0, x1, y1);
    if (many <= 160 && !flight.lost) label(c, data.names[b[NAME]], x0 + (x1 - x0) * PARTS[f % 3], y0 + (y1 - y0) * PARTS[f % 3]);
  }
  c.globalAlpha = 1;
}
// On white, so that lines beneath do not strike it through.
function label(c, text, px, py) {
  c.globalAlpha = 1; c.font = "11px system-ui"; c.textAlign = "center"; c.textBaseline = "middle";
  const colour = c.fillStyle;
  c.strokeStyle = "#fff"; c.lineWidth = 4; c.lineJoin = "round"; c.strokeText(text, px, py); c.fillStyle = colour; c.fillText(text, px, py);
}
function arrow(c, x0, y0, x1, y1) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  c.beginPath(); c.moveTo(x1, y1);
  c.lineTo(x1 - 7 * Math.cos(angle - 0.4), y1 - 7 * Math.sin(angle - 0.4));
  c.lineTo(x1 - 7 * Math.cos(angle + 0.4), y1 - 7 * Math.sin(angle + 0.4)); c.fill();
}
function cross(c, px, py, size) {
  c.beginPath(); c.moveTo(px - size, py - size); c.lineTo(px + size, py + size); c.moveTo(px - size, py + size); c.lineTo(px + size, py - size); c.stroke();
}
function drawPoints(c, x, y, first, end, many) {
  for (let i = first; i < end; i++) {
    const r = records[i], kind = r[KIND];
    if (r[LANE] < 0) { if (kind === K.fault || kind === K.heal) flag(c, x(i), TOP - 2, kind === K.fault ? "#d9730d" : "#1d7a3a"); continue; }
    const px = x(i), py = y(r[LANE]);
    if (kind === K.crash) { c.strokeStyle = "#c4161c"; c.lineWidth = 2.5; cross(c, px, py, 6); }
    else if (kind === K.restart) { c.strokeStyle = "#1d7a3a"; c.lineWidth = 2; c.beginPath(); c.arc(px, py, 5, 0, 7); c.stroke(); }
    else if (kind === K.pause) { c.fillStyle = "#d9730d"; c.fillRect(px - 4, py - 6, 3, 12); c.fillRect(px + 1, py - 6, 3, 12); }
    else if (kind === K.fault) flag(c, px, py - 5, "#d9730d");
    else if (kind === K.heal) flag(c, px, py - 5, "#1d7a3a");
    else if (kind === K.violation) { c.strokeStyle = "#c4161c"; c.lineWidth = 3; cross(c, px, py, 9); }
    else if (many > 6000 || !shown(r)) continue;
    else if (kind === K.append) { c.fillStyle = "#1d7a3a"; c.beginPath(); c.arc(px, py, 3.2, 0, 7); c.fill(); }
    else if (kind === K.mark) { c.fillStyle = "#8b3fa0"; c.beginPath(); c.moveTo(px, py - 5); c.lineTo(px + 4, py); c.lineTo(px, py + 5); c.lineTo(px - 4, py); c.fill(); }
    else if (kind === K.invoke || kind === K.return) { c.fillStyle = kind === K.invoke ? "#2563a8" : "#54616e"; c.fillRect(px - 1.5, py - 6, 3, 12); }
    else if (state.inner && kind <= K.effect) { c.fillStyle = kind === K.effect ? "#8a5a00" : "#2b7d6b"; c.fillRect(px - 0.5, py - (kind === K.effect ? 0 : 8), 1.5, 8); }
  }
}
function flag(c, px, py, colour) {
  c.fillStyle = colour; c.beginPath(); c.moveTo(px, py); c.lineTo(px - 5, py - 9); c.lineTo(px + 5, py - 9); c.fill();
}
// Failures of the same moment have one line, and one label with all their names.
function drawFailures(c, height, scale) {
  const labels = new Map();
  for (const { invariant, step, at } of failures) {
    const px = Math.round(LEFT + ((state.byStep ? stepIndex(step) : at) - state.from) * scale);
    labels.set(px, (labels.get(px) || new Set()).add(invariant));
  }
  for (const [px, names] of labels) vertical(c, height, px, "#c4161c", 1.5, [...names].join(", "));
}
function vertical(c, height, px, colour, thick, label) {
  c.strokeStyle = colour; c.lineWidth = thick; c.beginPath(); c.moveTo(px, TOP - 6); c.lineTo(px, height); c.stroke();
  if (!label) return;
  c.fillStyle = colour; c.font = "bold 11px system-ui"; c.textBaseline = "bottom";
  const fits = px + 4 + c.measureText(label).width <= c.canvas.clientWidth;
  c.textAlign = fits ? "left" : "right"; c.fillText(label, fits ? px + 4 : px - 4, height - 4);
}
function stepIndex(step) {
  let low = 0, high = records.length;
  while (low < high) { const middle = (low + high) >> 1; if (records[middle][STEP] < step) low = middle + 1; else high = middle; }
  return Math.min(low, Math.max(0, last));
}
function drawOverview() {
  const [c, width, height] = fit(overview);
  if (!records.length) return;
  const from = coordinate(0), span = Math.max(1, coordinate(last) - from), bins = Math.max(1, Math.floor(width));
  const counts = new Uint32Array(bins);
  const at = (value) => Math.min(bins - 1, Math.max(0, Math.floor(((value - from) / span) * (bins - 1))));
  let most = 1;
  for (let i = 0; i < records.length; i++) if (shown(records[i])) most = Math.max(most, ++counts[at(coordinate(i))]);
  c.fillStyle = "#b9c7d8";
  for (let bin = 0; bin < bins; bin++) { const h = (counts[bin] / most) * (height - 8); c.fillRect(bin, height - h, 1, h); }
  for (const r of records) if ([K.fault, K.crash].includes(r[KIND])) { c.fillStyle = r[KIND] === K.crash ? "#c4161c" : "#d9730d"; c.fillRect(at(state.byStep ? stepIndex(r[STEP]) : r[AT]), 0, 2, 6); }
  failures.forEach((violation) => { c.fillStyle = "#c4161c"; c.fillRect(at(state.byStep ? stepIndex(violation.step) : violation.at), 0, 2, height); });
  c.fillStyle = "rgba(37,99,168,.14)"; c.strokeStyle = "#2563a8";
  const a = at(state.from), b = Math.max(a + 3, at(state.to));
  c.fillRect(a, 0, b - a, height); c.strokeRect(a + 0.5, 0.5, b - a, height - 1);
}

function element(tag, text, parent, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.appendChild(made);
  return made;
}
function line(r) {
  const where = r[LANE] >= 0 ? lanes[r[LANE]] : "world", peer = r[PEER] >= 0 ? (r[KIND] === K.send ? " → " : " ← ") + lanes[r[PEER]] : "";
  return `${data.kinds[r[KIND]]} ${where}${peer}  ${data.names[r[NAME]]}${r[TEXT] ? ": " + r[TEXT] : ""}`;
}
function side() {
  const cursor = $("cursor"), wallets = $("wallets"), near = $("near");
  cursor.textContent = ""; wallets.textContent = ""; near.textContent = "";
  const r = records[state.cursor];
  if (!r) return;
  element("div", `step ${r[STEP]}, ${time(r[AT])}`, cursor);
  const now = new Map();
  for (let i = 0; i <= state.cursor; i++) for (const [wallet, version, balance] of records[i][STATES]) now.set(wallet, [version, balance, i]);
  const table = element("table", undefined, wallets), head = element("tr", undefined, table);
  element("th", "wallet", head); element("th", "version", head, "number"); element("th", "balance", head, "number");
  [...now.entries()].filter(([wallet]) => state.wallet < 0 || wallet === state.wallet).sort((a, b) => b[1][2] - a[1][2]).slice(0, 10).forEach(([wallet, [version, balance]]) => {
    const row = element("tr", undefined, table);
    element("td", data.wallets[wallet], row); element("td", version, row, "number"); element("td", (balance / 100).toFixed(2), row, "number");
  });
  if (!now.size) element("div", "nothing is in the event store yet", wallets);
  const around = [];
  for (let i = state.cursor; i >= 0 && around.length < NEAR; i--) if (relevant(records[i]) || i === state.cursor) around.unshift(i);
  for (let i = state.cursor + 1, more = 0; i < records.length && more < NEAR; i++) if (relevant(records[i])) { around.push(i); more++; }
  for (const i of around) {
    const row = element("div", undefined, near, i === state.cursor ? "here" : "");
    element("i", `${records[i][STEP]} `, row); row.append(line(records[i]));
    row.onclick = () => { state.cursor = i; reveal(); };
  }
}
const relevant = (r) => (state.inner || r[KIND] > K.effect) && shown(r);
function render() { draw(); side(); }
function reveal() {
  const at = coordinate(state.cursor), span = state.to - state.from;
  if (at < state.from || at > state.to) { state.from = at - span / 2; state.to = at + span / 2; }
  render();
}
function zoom(factor, around) {
  const span = Math.max(state.byStep ? 4 : 20, (state.to - state.from) * factor), part = (around - state.from) / (state.to - state.from);
  state.from = around - span * part; state.to = state.from + span; render();
}
function centre(at, span) { state.from = at - span / 2; state.to = at + span / 2; }
function valueAt(event) {
  const box = view.getBoundingClientRect();
  return state.from + ((event.clientX - box.left - LEFT) / (box.width - LEFT - 12)) * (state.to - state.from);
}
function toFailure() {
  if (!failure) return;
  state.cursor = stepIndex(failure.step);
  centre(coordinate(state.cursor), Math.min(state.to - state.from, state.byStep ? 120 : 60000)); render();
}
function nextStep(by) {
  let i = state.cursor + by;
  while (i >= 0 && i <= last && !relevant(records[i])) i += by;
  if (i >= 0 && i <= last) { state.cursor = i; reveal(); }
}
function begin() {
  const verdict = $("verdict"), first = data.violations[0];
  const crashed = data.panic !== null;
  verdict.className = first || crashed ? "bad" : "good";
  verdict.textContent = crashed ? `crash: ${data.panic}` : first ? `${first.invariant}: ${first.text}` : "passed: every invariant held";
  const more = data.violations.length - 1;
  if (crashed && records.length) element("small", ` — step ${records[last][STEP]}, ${time(records[last][AT])}${first ? ", and beside it " + first.invariant + ": " + first.text : ""}`, verdict);
  if (first && !crashed) element("small", ` — step ${first.step}, ${time(first.at)}${first.wallet ? ", wallet " + first.wallet : ""}${more > 0 ? `, and ${more} more` : ""}`, verdict);
  data.facts.forEach(([name, value], at) => { $("facts").append(`${at ? "  ·  " : ""}${name} `); element("b", value, $("facts")); });
  const options = (select, texts) => texts.map((text, number) => [text, number]).filter(([text]) => text).sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }))
    .forEach(([text, number]) => { const option = element("option", text, select); option.value = number; });
  options($("wallet"), data.wallets); options($("name"), data.names);
  const number = (select) => (select.value === "" ? -1 : Number(select.value));
  $("wallet").onchange = () => { state.wallet = number($("wallet")); render(); };
  $("name").onchange = () => { state.name = number($("name")); render(); };
  $("find").oninput = () => { state.find = $("find").value.toLowerCase(); render(); };
  $("inner").onchange = () => { state.inner = $("inner").checked; render(); };
  $("by-step").onchange = () => {
    const a = firstAt(state.from), b = firstAt(state.to);
    state.byStep = $("by-step").checked;
    state.from = coordinate(Math.min(a, last)); state.to = Math.max(state.from + 1, coordinate(Math.min(b, last))); render();
  };
  $("in").onclick = () => zoom(0.5, (state.from + state.to) / 2);
  $("out").onclick = () => zoom(2, (state.from + state.to) / 2);
  $("whole").onclick = () => { whole(); render(); };
  $("to-failure").onclick = toFailure; $("to-failure").disabled = !failure;
  $("previous").onclick = () => nextStep(-1); $("next").onclick = () => nextStep(1);
  view.onwheel = (event) => { event.preventDefault(); zoom(Math.exp(event.deltaY * 0.0015), valueAt(event)); };
  let grabbed = null;
  view.onpointerdown = (event) => { grabbed = { x: event.clientX, from: state.from, to: state.to, moved: false }; view.setPointerCapture(event.pointerId); };
  view.onpointermove = (event) => {
    if (!grabbed) return;
    const by = ((grabbed.x - event.clientX) / (view.getBoundingClientRect().width - LEFT - 12)) * (grabbed.to - grabbed.from);
    if (Math.abs(grabbed.x - event.clientX) > 3) grabbed.moved = true;
    if (grabbed.moved) { state.from = grabbed.from + by; state.to = grabbed.to + by; draw(); }
  };
  view.onpointerup = (event) => {
    if (grabbed && !grabbed.moved && records.length) { state.cursor = Math.min(last, firstAt(valueAt(event))); render(); }
    grabbed = null;
  };
  overview.onclick = (event) => {
    const box = overview.getBoundingClientRect(), span = state.to - state.from;
    centre(coordinate(0) + ((event.clientX - box.left) / box.width) * (coordinate(last) - coordinate(0)), span); render();
  };
  document.onkeydown = (event) => {
    if (event.target.tagName === "INPUT" && event.target.type === "search") return;
    if (event.key === "ArrowLeft") nextStep(-1);
    if (event.key === "ArrowRight") nextStep(1);
  };
  window.onresize = render;
  whole();
  // A view can be linked to: #step=120&span=40000&wallet=w3&by=step
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.get("by") === "step") { state.byStep = true; $("by-step").checked = true; whole(); }
  if (wanted.has("wallet")) { state.wallet = data.wallets.indexOf(wanted.get("wallet")); $("wallet").value = String(state.wallet); }
  if (failure) state.cursor = stepIndex(failure.step);
  if (wanted.has("step")) state.cursor = stepIndex(Number(wanted.get("step")));
  if (wanted.has("span")) centre(coordinate(state.cursor), Number(wanted.get("span")));
  render();
}
begin();
