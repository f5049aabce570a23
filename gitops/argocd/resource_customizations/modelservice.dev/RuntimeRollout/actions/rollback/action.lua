-- Asks the operator by an annotation: VERB, with a number where the same was asked before.

local asked = "rollback"
local annotation = "modelservice.dev/fleet-action"
local answered = (obj.status.action or {}).request

obj.metadata.annotations = obj.metadata.annotations or {}
local request, number = asked, 1
while request == answered or request == obj.metadata.annotations[annotation] do
  number = number + 1
  request = asked .. "@" .. number
end
obj.metadata.annotations[annotation] = request
return obj
