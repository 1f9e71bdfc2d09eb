
const state = { points: [], before: null, beforeAt: 0, awaySince: null, chosen: "all" };
const choice = element("select", { ariaLabel: "operation", onchange: () => { state.chosen = choice.value; } },
  ...["all", ...OPERATIONS].map((name) => element("option", { value: name, textContent: name === "all" ? "all single operations" : name })));
const charts = [
  new Chart("Throughput, requests answered a second", "throughput", unit.rate),
  new Chart("Latency, milliseconds", "latency", unit.ms, choice),
  new Chart("Lag, events", "lag", unit.events),
  new Chart("Age of the oldest unpublished event, seconds", "age", unit.seconds),
  new Chart("Errors, percent", "errors", unit.percent),
  new Chart("Conflicts a second", "conflicts", unit.rate),
];
const tiles = ["operations", "commands appended", "p95", "largest lag", "5xx answers", "dead letters", "waiting commands", "connections"].map((name) => {
  const shown = element("b", { textContent: "\u2013" });
  byId("tiles").append(element("div", { className: "tile" }, shown, element("small", { textContent: name })));
  return shown;
});

async function text(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  return [answer.status, await answer.text()];
}
function clock(at) { return new Date(at).toLocaleTimeString(); }
function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

function showHealth(health) {
  const kind = { up: "good", degraded: "warn" }[health.status] || "bad";
  Object.assign(byId("status"), { textContent: health.status, className: `pill ${kind}` });
  byId("about").textContent = `up for ${duration(health.uptimeSeconds)}`;
  byId("dependencies").replaceChildren(table([
    { name: "dependency", of: (one) => one.name },
    { name: "", of: (one) => element("span", { className: one.status === "up" ? "good" : "bad", textContent: one.status }) },
    { name: "answers in", kind: "number", of: (one) => `${short(one.latencyMs)} ms` },
    { name: "reason", kind: "text", of: (one) => one.reason },
  ], health.dependencies));
}
function showFigures(now, at) {
  // After a gap, rates over it would be those of no time at all.
  const seconds = (at - state.beforeAt) / 1000, near = state.before && seconds < 5 * PERIOD_MS / 1000;
  const point = pointOf(now, near ? state.before : null, seconds, state.chosen);
  state.points.push({ at, ...point });
  Object.assign(state, { before: now, beforeAt: at });
  const operations = near ? OPERATIONS.reduce((sum, name) => sum + point.throughput[name], 0) : null;
  const dead = byConsumer(now, METRICS.dead), deadCount = dead.reduce((sum, one) => sum + one.value, 0);
  const amounts = [unit.rate(operations), unit.rate(near ? point.commands : null), unit.ms(point.latency.p95),
    unit.events(Math.max(0, ...Object.values(point.lag))), unit.percent(point.errors["5xx answers"]), unit.events(deadCount), unit.events(value(now, METRICS.pending)),
    unit.events(value(now, METRICS.connections))];
  tiles.forEach((tile, number) => { tile.textContent = amounts[number]; });
  tiles[5].className = deadCount > 0 ? "bad" : "";
  const errors = new Map(series(now, METRICS.errors).map((one) => [one.labels.consumer, one.value]));
  byId("dead").replaceChildren(table([
    { name: "consumer", of: (one) => one.labels.consumer },
    { name: "dead letters", kind: "number", of: (one) => element("span", { className: one.value > 0 ? "bad" : "", textContent: short(one.value) }) },
    { name: "failing, last minute", kind: "number", of: (one) => (errors.has(one.labels.consumer) ? unit.percent(errors.get(one.labels.consumer) * 100) : "") },
  ], dead));
}
function showAway(reason, at) {
  state.awaySince = state.awaySince || at;
  const away = byId("away");
  away.textContent = `${reason} since ${clock(state.awaySince)}; what stands below is older. It is asked again every ${PERIOD_MS / 1000} seconds.`;
  away.hidden = false;
  // Ends the curves; what comes after the gap begins new ones.
  state.points.push({ at });
}
function drawAll(at) {
  state.points = state.points.filter((one) => one.at > at - SHOWN_MS);
  const from = Math.min(at - SHOWN_MS_LEAST, state.points.length ? state.points[0].at : at);
  for (const chart of charts) chart.draw(state.points, from, at);
}

async function look() {
  const [health, figures] = await Promise.allSettled([text("/health"), text("/metrics")]), at = Date.now();
  try {
    if (health.status === "rejected") throw health.reason;
    showHealth(JSON.parse(health.value[1]));
  } catch {
    Object.assign(byId("status"), { textContent: "away", className: "pill bad" });
    byId("about").textContent = "";
    byId("dependencies").replaceChildren(element("p", { className: "quiet", textContent: "unknown" }));
  }
  if (figures.status === "fulfilled" && figures.value[0] === 200) {
    state.awaySince = null;
    byId("away").hidden = true;
    showFigures(parseMetrics(figures.value[1]), at);
  } else {
    showAway(figures.status === "rejected" ? "The service does not answer" : "The service gives no figures", at);
  }
  drawAll(at);
}
async function watch() {
  for (;;) {
    const began = Date.now();
    try { await look(); } catch (error) { console.error(error); }
    await new Promise((resume) => setTimeout(resume, Math.max(250, PERIOD_MS - (Date.now() - began))));
  }
}

byId("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("wallet-id").value.trim();
  if (id) openWallet(id);
});
byId("filter").addEventListener("submit", (event) => { event.preventDefault(); listWallets(); });
addEventListener("resize", () => drawAll(Date.now()));
function openNamed() { try { if (location.hash.length > 1) openWallet(decodeURIComponent(location.hash.slice(1))); } catch { /* no id */ } }
addEventListener("hashchange", openNamed);
openNamed();
listWallets();
watch();
