-- Requests for wrk: transfers of one cent, built before the clock starts so that the generator stays cheap.
--
--   wrk … -s load.lua URL -- MODE WALLETS KEYED RUN
--
-- MODE    spread: between two random wallets; hot: from wallet 1 to a random one; batch: a thousand spread transfers
--         in one request
-- KEYED   1: every request has an Idempotency-Key of its own; 0: none has
-- RUN     prefix of those keys, different for every run
--
-- At the end one line: RESULT requests microseconds p50_us p99_us not_2xx socket_errors bytes

local PREPARED = { spread = 20000, hot = 20000, batch = 40 }
local MARK = "@key@"

local heads, tails, count, at, sent, keyed, run = {}, {}, 0, 0, 0, false, ""

local function pair(mode, wallets)
  local from = mode == "hot" and 1 or math.random(wallets)
  local to = math.random(wallets - 1)
  if to >= from then to = to + 1 end
  return string.format("wallet-%06d", from), string.format("wallet-%06d", to)
end

local function prepare(mode, wallets, headers)
  if mode ~= "batch" then
    local from, to = pair(mode, wallets)
    return wrk.format("POST", "/wallets/" .. from .. "/transfer", headers,
      '{"toWalletId":"' .. to .. '","amount":"0.01"}')
  end
  local operations = {}
  for index = 1, 1000 do
    local from, to = pair(mode, wallets)
    operations[index] = '{"type":"transfer","walletId":"' .. from .. '","toWalletId":"' .. to .. '","amount":"0.01"}'
  end
  return wrk.format("POST", "/batch", headers, '{"operations":[' .. table.concat(operations, ",") .. "]}")
end

function init(arguments)
  local mode, wallets = arguments[1], tonumber(arguments[2])
  keyed, run = arguments[3] == "1", arguments[4] .. "-"
  math.randomseed(20261121)
  local headers = { ["Content-Type"] = "application/json" }
  if keyed then headers["Idempotency-Key"] = MARK end
  count = PREPARED[mode]
  for index = 1, count do
    local request = prepare(mode, wallets, headers)
    if keyed then
      local first, last = request:find(MARK, 1, true)
      heads[index], tails[index] = request:sub(1, first - 1) .. run, request:sub(last + 1)
    else
      heads[index] = request
    end
  end
end

function request()
  at = at % count + 1
  if not keyed then return heads[at] end
  sent = sent + 1
  return heads[at] .. sent .. tails[at]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %.0f %.0f %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, summary.bytes))
end
