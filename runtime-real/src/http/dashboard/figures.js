
"use strict";
// Every figure that this page reads. The tests look each of them up in what a running service gives.
const METRICS = {
  create: "wallet_create_duration_ms",
  credit: "wallet_credit_duration_ms",
  debit: "wallet_debit_duration_ms",
  transfer: "wallet_transfer_duration_ms",
  batch: "wallet_batch_duration_ms",
  responses: "http_responses_total",
  connections: "http_connections",
  commands: "append_commands_total",
  appends: "appends_total",
  pending: "commands_pending",
  conflicts: "conflicts_total",
  outboxEvents: "outbox_lag_events",
  outboxSeconds: "outbox_lag_seconds",
  lag: "projector_lag_events",
  errors: "projector_error_rate",
  dead: "dead_letters",
};
const OPERATIONS = ["create", "credit", "debit", "transfer", "batch"];
const PERIOD_MS = 2000, PATIENCE_MS = 8000, SHOWN_MS = 300000, SHOWN_MS_LEAST = 60000;

// Prometheus' text as a map from name to its series, each with labels and value. What is not known yet is not there.
function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!parts || parts[3] === "NaN") continue;
    const labels = {};
    for (const label of (parts[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[label[1]] = label[2];
    if (!found.has(parts[1])) found.set(parts[1], []);
    found.get(parts[1]).push({ labels, value: Number(parts[3].replace("+Inf", "Infinity")) });
  }
  return found;
}
function series(metrics, name) { return metrics.get(name) || []; }
// In the order of their names: the service gives them in any.
function byConsumer(metrics, name) {
  return [...series(metrics, name)].sort((a, b) => (a.labels.consumer < b.labels.consumer ? -1 : 1));
}
function value(metrics, name) { const found = series(metrics, name); return found.length ? found[0].value : 0; }
function sumWhere(metrics, name, accept) {
  return series(metrics, name).filter((one) => accept(one.labels)).reduce((sum, one) => sum + one.value, 0);
}
// The growth of a counter; one that has fallen began anew with the service.
function growth(now, before) { return now >= before ? now - before : now; }

// What was counted in each bucket between two looks, over one or more histograms.
function bucketsBetween(now, before, names) {
  const cumulative = new Map();
  for (const name of names) {
    const earlier = new Map(series(before, name + "_bucket").map((one) => [one.labels.le, one.value]));
    for (const one of series(now, name + "_bucket")) {
      const bound = one.labels.le === "+Inf" ? Infinity : Number(one.labels.le);
      cumulative.set(bound, (cumulative.get(bound) || 0) + growth(one.value, earlier.get(one.labels.le) || 0));
    }
  }
  return [...cumulative].sort((a, b) => a[0] - b[0]);
}
// The quantile by straight lines within the buckets; nothing when nothing was counted.
function quantile(buckets, part) {
  const all = buckets.length ? buckets[buckets.length - 1][1] : 0;
  if (!(all > 0)) return null;
  const rank = part * all;
  let lower = 0, below = 0;
  for (const [bound, count] of buckets) {
    if (count >= rank) {
      if (bound === Infinity || count === below) return bound === Infinity ? lower : bound;
      return lower + (bound - lower) * (rank - below) / (count - below);
    }
    lower = bound;
    below = count;
  }
  return lower;
}

// The points of all charts from two looks; `before` is nothing after a gap.
function pointOf(now, before, seconds, chosen) {
  const point = { throughput: {}, latency: {}, lag: {}, age: {}, errors: {}, conflicts: {} };
  point.lag.outbox = value(now, METRICS.outboxEvents);
  for (const one of byConsumer(now, METRICS.lag)) point.lag[one.labels.consumer] = one.value;
  point.age.outbox = value(now, METRICS.outboxSeconds);
  for (const one of byConsumer(now, METRICS.errors)) point.errors[one.labels.consumer] = one.value * 100;
  if (!before || !(seconds > 0)) return point;
  const rate = (name) => growth(value(now, name), value(before, name)) / seconds;
  for (const operation of OPERATIONS) point.throughput[operation] = rate(METRICS[operation] + "_count");
  const buckets = bucketsBetween(now, before, chosen === "all" ? OPERATIONS.slice(0, 4).map((one) => METRICS[one]) : [METRICS[chosen]]);
  for (const [name, part] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]]) point.latency[name] = quantile(buckets, part);
  const answers = (accept) => growth(sumWhere(now, METRICS.responses, accept), sumWhere(before, METRICS.responses, accept));
  const all = answers(() => true);
  point.errors["5xx answers"] = all > 0 ? 100 * answers((labels) => labels.class === "5xx") / all : 0;
  point.conflicts.conflicts = rate(METRICS.conflicts);
  point.commands = rate(METRICS.commands);
  return point;
}

function short(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "\u2013";
  const size = Math.abs(number);
  if (size >= 1e6) return (number / 1e6).toFixed(size >= 1e7 ? 0 : 1) + "M";
  if (size >= 1e4) return (number / 1e3).toFixed(size >= 1e5 ? 0 : 1) + "k";
  if (size >= 100 || Number.isInteger(number)) return String(Math.round(number));
  if (size < 0.1) return String(Number(number.toPrecision(2)));
  return number.toFixed(size >= 10 ? 1 : 2);
}
const unit = {
  rate: (number) => short(number) + (number === null || number === undefined ? "" : "/s"),
  ms: (number) => short(number) + (number === null || number === undefined ? "" : " ms"),
  events: short,
  seconds: (number) => short(number) + (number === null || number === undefined ? "" : " s"),
  percent: (number) => short(number) + (number === null || number === undefined ? "" : " %"),
};
