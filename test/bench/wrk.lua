-- With PATHS in the environment, separated by spaces, asks them in turns instead of the one in the URL.
local paths = {}
for path in (os.getenv('PATHS') or ''):gmatch('%S+') do paths[#paths + 1] = path end

if #paths > 0 then
  local turn = 0
  request = function()
    turn = turn % #paths + 1
    return wrk.format('GET', paths[turn])
  end
end

-- The figures of one run as a line of JSON; times in microseconds.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"elapsed":%d,"p50":%d,"p99":%d,"failed":%d,"refused":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
