
const PAGE_ITEMS = 20;
// Money is shown with the digits that the service wrote; a number of this language would lose some. A quote that is not
// preceded by a backslash ends or begins a string, so only members are found.
function exact(text) { return JSON.parse(text.replace(/"(balance|amount)":(-?\d[\d.]*)/g, '"$1":"$2"')); }

class Refused extends Error {}
async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  const text = await answer.text();
  let body = null;
  try { body = exact(text); } catch { throw new Error(`the answer to ${path} is no JSON`); }
  if (!answer.ok) throw new Refused(body.detail || body.title || `status ${answer.status}`);
  return body;
}
function saidWrong(error) {
  const text = error instanceof Refused ? error.message : "the service does not answer";
  return element("p", { className: "bad", textContent: text });
}
function moment(text) { return (text || "").replace("T", " ").replace(/(\.\d{3})\d*Z$/, "$1").replace(/Z$/, ""); }
function toWallet(id) {
  return id ? element("button", { type: "button", className: "link", textContent: id, onclick: () => openWallet(id) }) : null;
}

// A list that grows by a page at a time, below `place`.
async function list(place, path, columns, none) {
  const rows = [];
  const more = async (cursor) => {
    try {
      const page = await ask(path + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""));
      rows.push(...page.items);
      const button = page.nextCursor
        ? element("button", { type: "button", className: "more", textContent: "more", onclick: () => more(page.nextCursor) }) : null;
      place.replaceChildren(rows.length ? table(columns, rows) : element("p", { className: "quiet", textContent: none }));
      if (button) place.append(button);
    } catch (error) {
      place.append(saidWrong(error));
    }
  };
  await more(null);
}

const WALLET_COLUMNS = [
  { name: "wallet", of: (one) => toWallet(one.id) },
  { name: "balance", kind: "number", of: (one) => one.balance },
  { name: "currency", of: (one) => one.currency },
  { name: "owner", of: (one) => one.ownerId },
  { name: "version", kind: "number", of: (one) => String(one.version) },
  { name: "changed (UTC)", of: (one) => moment(one.updatedAt) },
];
const LEDGER_COLUMNS = [
  { name: "when (UTC)", of: (one) => moment(one.occurredAt) },
  { name: "what", of: (one) => one.type },
  { name: "amount", kind: "number", of: (one) => one.amount },
  { name: "balance", kind: "number", of: (one) => one.balance },
  { name: "other side", of: (one) => toWallet(one.counterpartyWalletId) },
  { name: "description", kind: "text", of: (one) => one.description },
];
const EVENT_COLUMNS = [
  { name: "version", kind: "number", of: (one) => String(one.version) },
  { name: "event", of: (one) => one.type },
  { name: "when (UTC)", of: (one) => moment(one.occurredAt) },
  { name: "all of it", kind: "text", of: (one) => element("details", {},
    element("summary", { textContent: one.eventId }), element("pre", { textContent: JSON.stringify(one, null, 1) })) },
];

function listWallets() {
  const asked = new URLSearchParams({ limit: String(PAGE_ITEMS) });
  const owner = byId("owner").value.trim(), least = byId("least").value.trim();
  if (owner) asked.set("ownerId", owner);
  if (least) asked.set("minBalance", least);
  return list(byId("wallets"), `/wallets?${asked}`, WALLET_COLUMNS, "there is no such wallet");
}

function stateOf(wallet) {
  const facts = [["balance", `${wallet.balance} ${wallet.currency}`, "money"], ["owner", wallet.ownerId], ["version", String(wallet.version)],
    ["created (UTC)", moment(wallet.createdAt)], ["changed (UTC)", moment(wallet.updatedAt)]];
  return element("dl", {}, ...facts.map(([name, text, kind]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: text, className: kind || "" }))));
}

let opened = 0;
async function openWallet(id) {
  const mine = ++opened, path = `/wallets/${encodeURIComponent(id)}`, place = byId("wallet");
  byId("wallet-id").value = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  const close = () => { opened++; place.replaceChildren(); history.replaceState(null, "", location.pathname); };
  const head = element("div", { className: "line" }, element("h2", { textContent: id }),
    element("span", {}, element("button", { type: "button", textContent: "again", onclick: () => openWallet(id) }), " ",
      element("button", { type: "button", textContent: "close", onclick: close })));
  const card = element("div", { className: "open" }, head);
  try {
    const wallet = await ask(path);
    if (mine !== opened) return;
    const ledger = element("div"), events = element("div");
    card.append(stateOf(wallet), element("h3", { textContent: "Ledger, newest first" }), ledger,
      element("h3", { textContent: "Events, from the first" }), events);
    place.replaceChildren(card);
    await Promise.all([list(ledger, `${path}/transactions?limit=${PAGE_ITEMS}`, LEDGER_COLUMNS, "no entries"),
      list(events, `${path}/events?limit=${PAGE_ITEMS}`, EVENT_COLUMNS, "no events")]);
  } catch (error) {
    if (mine !== opened) return;
    card.append(saidWrong(error));
    place.replaceChildren(card);
  }
}
