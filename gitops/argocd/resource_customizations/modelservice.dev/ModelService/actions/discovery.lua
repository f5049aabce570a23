-- What the operator would accept now: of a change that goes on, by what has become of it.

local status = obj.status or {}
local rollout = status.rollout or {}
local target, stable = status.targetRevision, status.stableRevision

local function contains(list, wanted)
  for _, found in ipairs(list or {}) do
    if found == wanted then
      return true
    end
  end
  return false
end

local function has_missed_its_deadline()
  for _, found in ipairs(status.conditions or {}) do
    if found.type == "Progressing" then
      return found.reason == "ProgressDeadlineExceeded"
    end
  end
  return false
end

-- After an edit nobody knows yet which revision is the newest.
local is_known = status.observedGeneration == obj.metadata.generation and obj.metadata.deletionTimestamp == nil
local is_under_way = is_known and target ~= nil and stable ~= nil and target ~= stable
local is_given_up = contains(status.abortedRevisions, target) or has_missed_its_deadline()
local goes_on = is_under_way and not is_given_up
local paused = nil
if rollout.revision == target then
  paused = rollout.paused
end

return {
  abort = {disabled = not is_under_way},
  pause = {disabled = not goes_on or paused == "Requested"},
  promote = {disabled = not goes_on},
  resume = {disabled = not goes_on or paused == nil},
  retry = {disabled = not (is_under_way and is_given_up)},
}
