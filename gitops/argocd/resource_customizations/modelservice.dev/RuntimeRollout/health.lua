-- The health of a RuntimeRollout, for Argo CD. Its base library is all that is needed.

local function condition(kind)
  for _, found in ipairs(obj.status.conditions or {}) do
    if found.type == kind then
      return found
    end
  end
  return {}
end

local function health(status, message)
  return {status = status, message = message or ""}
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "It is being deleted.")
end

-- What the operator said of an earlier version says nothing of this one.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not seen this version yet.")
end

local ready = condition("Ready")
local degraded = condition("Degraded")
local stalled = condition("Stalled")
local waits = {Paused = true, AwaitingApproval = true}

if degraded.status == "True" then
  return health("Degraded", degraded.message)
end
-- It has ended otherwise than was asked for, or nothing goes on before somebody mends something.
if stalled.status == "True" then
  return health("Degraded", stalled.message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
if waits[obj.status.phase] then
  return health("Suspended", ready.message)
end
return health("Progressing", ready.message or "The operator has not said anything yet.")
