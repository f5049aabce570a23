"""The operator, with a pod builder that gives every new pod an annotation."""

import functools
import sys
from typing import Any

from modelservice_operator.__main__ import main
from modelservice_operator.decide.decide import decide
from modelservice_operator.decide.resources.pod.template import PodInputs, build_pod_template
from modelservice_operator.work import reconcile


def build_annotated_pod_template(inputs: PodInputs) -> dict[str, Any]:
    """What the next version might do."""
    template = build_pod_template(inputs)
    template["metadata"]["annotations"]["tests.example/builder"] = "variant"
    return template


reconcile.decide = functools.partial(decide, build_pod=build_annotated_pod_template)  # type: ignore[assignment]
sys.exit(main())
