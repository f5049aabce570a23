"""RuntimeRollout: brings an image of a ModelRuntime to the ModelServices of the cluster, wave by wave."""

import re
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from modelservice_operator.api.modelruntime import Image
from modelservice_operator.api.spec.accelerator import Switch
from modelservice_operator.api.types.base import (
    DNS_LABEL,
    INT_OR_STRING,
    LIST_TYPE,
    ApiModel,
    ObjectName,
    between,
    int_or_text,
    list_map,
    unique_by,
)
from modelservice_operator.api.types.kubernetes import LabelSelector, ObjectMeta
from modelservice_operator.api.types.rules import Rule, must_match, quote

MOST_MEMBERS = 5_000
"""ModelServices of one RuntimeRollout: their list has to fit into its status."""
MOST_MOVING = 500
MOST_WAVES = 32

_PERCENT = "([1-9][0-9]?|100)%"
_SHARE_RULE = Rule(
    cel=f"type(self) == int ? self >= 1 && self <= {MOST_MEMBERS} : self.matches({quote(f'^{_PERCENT}$')})",
    message=f"expected a number of members from 1 to {MOST_MEMBERS}, or a percentage from '1%' to '100%'",
    check=lambda value: (
        1 <= value <= MOST_MEMBERS if isinstance(value, int) else re.fullmatch(_PERCENT, value) is not None
    ),
)
Share = Annotated[int | str, PlainValidator(int_or_text), WithJsonSchema(INT_OR_STRING), _SHARE_RULE]
"""A count of ModelServices or a percentage of the members."""

_CRON_FIELD = "[0-9A-Za-z*,/-]{1,64}"
Schedule = Annotated[
    str,
    Field(min_length=1, max_length=128),
    must_match(
        f"{_CRON_FIELD}( +{_CRON_FIELD}){{4}}",
        "expected five fields as in cron: minute, hour, day of the month, month and day of the week, such as "
        "'0 22 * * 1-5'",
    ),
]
TimeZone = Annotated[
    str,
    Field(min_length=1, max_length=64),
    must_match(
        "[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*",
        "expected the name of a time zone of the IANA's database, such as Europe/Berlin or UTC",
    ),
]


class RolloutTarget(ApiModel):
    """What the members shall get."""

    runtime: ObjectName
    """A ModelRuntime. Members are ModelServices that were made with it, whether they name it or it is the
    default."""
    image: Image | None = None
    """One of the images that the ModelRuntime names: only ModelServices that take this one are members, and
    nothing starts before the ModelRuntime names it. Default: the images that it names at the start, each for
    the ModelServices that take it. What is decided at the start stays."""


class MemberSelector(LabelSelector):
    """Which ModelServices: by namespace and by their labels; all that is given must hold."""

    namespaces: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=63)], ...],
            Field(max_length=256, json_schema_extra={LIST_TYPE: "set"}),
        ]
        | None
    ) = None
    """Their namespaces. Default: all."""


class Wave(ApiModel):
    """Members that move before those of the next wave start."""

    name: Annotated[str, Field(max_length=63), must_match(DNS_LABEL, "expected a name such as canary")]
    """Its name."""
    selector: MemberSelector | None = None
    """Its members, of those that no wave before it has."""
    rest: Switch = False
    """Whether it takes everybody who is left; the last wave does, and no other."""
    approval: Switch = False
    """Whether a person has to approve it before it starts. Default: false."""

    rules = (
        Rule(
            cel="has(self.selector) != (has(self.rest) && self.rest)",
            message="expected either a selector or rest: true",
            check=lambda self: (self.selector is not None) != self.rest,
        ),
    )


class MaintenanceWindow(ApiModel):
    """A time in which members may start."""

    schedule: Schedule
    """When it opens, as in cron: minute, hour, day of the month, month, day of the week."""
    duration_seconds: Annotated[int, between(60, 604_800)]
    """For how long it is open."""
    time_zone: TimeZone = "UTC"
    """The time zone of the schedule. Default: UTC."""


class RuntimeRolloutSpec(ApiModel):
    """Who moves where, when, and what stops it."""

    target: RolloutTarget
    """What the members shall get."""
    selector: MemberSelector = MemberSelector()
    """Which ModelServices are members, as they are at the start. Default: all with the target's runtime."""
    waves: Annotated[tuple[Wave, ...], list_map("name", MOST_WAVES, 1), unique_by("name")] = (
        Wave(name="rest", rest=True),
    )
    """In which order. Default: one wave of everybody."""
    max_concurrent: Annotated[int, between(1, MOST_MOVING)] = 5
    """The most members that move at the same time, until they are healthy for soakSeconds. Default: 5."""
    max_unavailable: Share = "10%"
    """No member starts while this could leave more of them without an available pod; those that have none
    anyway, and those that move, count. Percentages of all members, rounded down, at least 1. Default: 10%."""
    soak_seconds: Annotated[int, between(0, 86_400)] = 60
    """How long a member must be Ready with the new image before it counts as updated. Default: 60."""
    member_deadline_seconds: Annotated[int, between(1, 604_800)] = 3600
    """How long a member may take to become Ready with the new image, and how long one is waited for that its
    user is changing when its turn comes. Default: 3600."""
    max_failures: Annotated[int, between(0, MOST_MEMBERS)] = 0
    """Failed members that are put up with; one more, and onFailure says what happens. Default: 0."""
    on_failure: Literal["Halt", "RollbackFailed", "RollbackAll"] = "Halt"
    """Halt: no further member starts. RollbackFailed: and each failed member gets back the image that it had.
    RollbackAll: and so do all others. Default: Halt."""
    paused: Switch = False
    """Whether no further member starts. With true from the beginning no member is chosen either."""
    maintenance_windows: Annotated[tuple[MaintenanceWindow, ...], Field(max_length=16)] = ()
    """When members may start; taking images back waits for none. Default: at any time."""
    ttl_seconds_after_finished: Annotated[int, between(0, 31_536_000)] | None = None
    """How long it is kept when it is complete, taken back, aborted or superseded. Default: for ever."""

    rules = (
        Rule(
            cel="!has(self.waves) || self.waves.all(one, (has(one.rest) && one.rest) == "
            "(one.name == self.waves[size(self.waves) - 1].name))",
            message="the last wave, and no other, takes the rest: give it rest: true",
            check=lambda self: all(one.rest == (one is self.waves[-1]) for one in self.waves),
            field_path=".waves",
        ),
    )


class RuntimeRollout(ApiModel):
    """Brings an image of a ModelRuntime to ModelServices, in waves; each takes it by its own rollout.

    No ModelService is written: each reads here what it shall take.
    """

    metadata: ObjectMeta
    spec: RuntimeRolloutSpec


UNCHANGED = (
    "the members are chosen by it at the start: make another RuntimeRollout, which supersedes this one"
)
"""Why these fields cannot be changed once it has started."""
FIXED_FIELDS = ("target", "selector", "waves")
