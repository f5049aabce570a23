"""Argo CD's scripts as Argo CD runs them (`util/lua/lua.go` of its version 3).

That is Lua 5.1 with its base and table libraries, `os` with `time` and `date` alone, and a limit: there a
second, here a number of instructions. There is no `string` library, so strings have no methods either.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from lupa import lua51

Object = dict[str, Any]

_MOST_INSTRUCTIONS = 1_000_000
_BASE = """
_G _VERSION assert collectgarbage dofile error getfenv getmetatable ipairs load loadfile loadstring module
newproxy next pairs pcall print rawequal rawget rawset require select setfenv setmetatable tonumber tostring
type unpack xpcall
""".replace("\n", " ")
_SANDBOX = f"""
local known = {{os = true, package = true, table = true}}
for name in ("{_BASE}"):gmatch("%S+") do
  known[name] = true
end
os = {{time = os.time, date = os.date}}
package.loaded.os = os
debug.sethook(function() error("the script takes too long") end, "", {_MOST_INSTRUCTIONS})
getmetatable("").__index = nil
for name in pairs(_G) do
  if not known[name] then
    _G[name] = nil
    package.loaded[name] = nil
  end
end
"""


def run(script: str, obj: Object) -> Any:
    """Return what a script returns that finds the object in `obj`."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_SANDBOX)
    lua.globals().obj = _to_lua(lua, obj)
    lua.globals().actionParams = lua.table()
    return _to_python(lua.execute(script))


def run_health(script: str, obj: Object) -> Object:
    """Return the health: `status` and `message`."""
    found = run(script, obj)
    assert isinstance(found, dict), found
    assert found["status"] in ("Healthy", "Progressing", "Suspended", "Degraded", "Missing", "Unknown")
    return found


def run_discovery(script: str, obj: Object) -> dict[str, bool]:
    """Return each action's name, and whether it is offered."""
    return {name: not one.get("disabled", False) for name, one in run(script, obj).items()}


def run_action(script: str, obj: Object) -> Object:
    """Return the object that an action of the old style writes: with the empty mappings that Lua loses."""
    changed = _cleaned(run(script, obj), obj)
    assert isinstance(changed, dict)
    return changed


def merge_patch(old: Object, new: Object) -> Object:
    """Return the JSON merge patch that Argo CD's server sends after an action."""
    patch: Object = {}
    for key in {*old, *new}:
        if key not in new:
            patch[key] = None
        elif key not in old or old[key] != new[key]:
            both = isinstance(old.get(key), dict) and isinstance(new[key], dict)
            patch[key] = merge_patch(old[key], new[key]) if both else copy.deepcopy(new[key])
    return patch


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return lua.table_from([_to_lua(lua, one) for one in value])
    return value


def _to_python(value: Any) -> Any:
    """As gopher-json encodes it: a table with the keys 1 to n is a list, and so is an empty one."""
    if lua51.lua_type(value) != "table":
        return value
    found = dict(value.items())
    if list(found) == list(range(1, len(found) + 1)):
        return [_to_python(one) for one in found.values()]
    return {key: _to_python(one) for key, one in found.items()}


def _cleaned(new: Any, old: Any) -> Any:
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _cleaned(one, old.get(key)) for key, one in new.items()}
    if new == [] and isinstance(old, dict):
        return {}
    if isinstance(new, list) and isinstance(old, list):
        return [_cleaned(one, old[at] if at < len(old) else None) for at, one in enumerate(new)]
    return new


def three_way_patch(config: Object, live: Object) -> Object:
    """Return what a sync would change, as Argo CD tells it: {} where nothing is out of sync.

    It compares custom resources as JSON merge patches do (`pkg/diff` of its gitops-engine): what Git has and
    the cluster has otherwise, and what was applied last and Git has no longer.
    """
    applied = live["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/last-applied-configuration")
    original = json.loads(applied) if applied else config
    return _overlay(_kept(merge_patch(live, config), deletions=False), _removed(original, config))


def _kept(patch: Object, *, deletions: bool) -> Object:
    """One half of a merge patch: what it removes, or all else."""
    found: Object = {}
    for key, value in patch.items():
        if isinstance(value, dict):
            if inner := _kept(value, deletions=deletions):
                found[key] = inner
        elif (value is None) == deletions:
            found[key] = value
    return found


def _removed(original: Object, config: Object) -> Object:
    original = copy.deepcopy(original)
    original["metadata"].get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if not original["metadata"].get("annotations"):
        original["metadata"].pop("annotations", None)
    return _kept(merge_patch(original, config), deletions=True)


def _overlay(patch: Object, other: Object) -> Object:
    both = {key for key in patch if isinstance(patch[key], dict) and isinstance(other.get(key), dict)}
    return {**patch, **other, **{key: _overlay(patch[key], other[key]) for key in both}}
