"""Types of the figures and times that a status tells."""

from typing import Annotated

from pydantic import Field

from modelservice_operator.api.types.base import between, limited

Count = Annotated[int, between(0, 2**31 - 1)]
Percent = Annotated[int, between(0, 100)]
RevisionName = Annotated[str, limited(63)]
Seconds = Annotated[str, limited(16)]
"""A decimal number, such as 0.25: no floats in the API."""
Time = Annotated[str, limited(64), Field(json_schema_extra={"format": "date-time"})]
