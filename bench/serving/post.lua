-- For wrk (https://github.com/wg/wrk): posts the file BENCH_BODY, with the key BENCH_KEY where there is one, and prints what it saw as
-- one JSON object.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = os.getenv("BENCH_KEY")
file:close()

function done(summary, latency)
  local errors = summary.errors
  io.stdout:write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50": %.9f, "p99": %.9f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
