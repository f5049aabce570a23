-- What the operator would accept now, by the phase; an approval for the wave that waits for one.

local status = obj.status or {}

local function is_understood()
  for _, found in ipairs(status.conditions or {}) do
    if found.type == "Ready" then
      return found.reason ~= "InvalidSpec"
    end
  end
  return false
end

-- After an edit nobody knows yet what has become of it.
local is_seen = status.observedGeneration == obj.metadata.generation and obj.metadata.deletionTimestamp == nil
local is_known = is_seen and is_understood()
local phase = status.phase or "Pending"
local is_over = phase == "Complete" or phase == "RolledBack" or phase == "Aborted" or phase == "Superseded"
local goes_back = phase == "RollingBack" or phase == "RolledBack"
local goes_on = is_known and not is_over
local can_wait = goes_on and not goes_back
local is_paused = status.paused == true

return {
  abort = {disabled = not goes_on},
  approve = {disabled = not (is_known and phase == "AwaitingApproval")},
  pause = {disabled = not can_wait or is_paused},
  resume = {disabled = not can_wait or not is_paused},
  rollback = {disabled = not is_known or goes_back or phase == "Superseded"},
}
