"""Whether a model may be passed on, as far as its card and its licence's text say.

Identifiers: https://spdx.org/licenses/; those of cards (lower case, and some that SPDX does not have):
https://huggingface.co/docs/hub/repositories-licenses.
"""

import re
from collections.abc import Mapping
from typing import Any

from modelservice_pipeline.errors import PipelineError

_SPDX = """
AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause
BSD-3-Clause-Clear BSL-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0
CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0
CC-BY-ND-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0
CDLA-Sharing-1.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GFDL-1.3 GPL-2.0 GPL-2.0-only
GPL-2.0-or-later GPL-3.0 GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later
LGPL-3.0 LGPL-3.0-only LGPL-3.0-or-later LPPL-1.3c MIT MIT-0 MPL-2.0 MS-PL NCSA ODbL-1.0 OFL-1.1
OSL-3.0 PDDL-1.0 PostgreSQL Python-2.0 Unlicense WTFPL Zlib
"""
_BY_LOWER = {name.lower(): name for name in _SPDX.split()}
# Families whose cards leave the details to a text or a page.
_OTHER = """
other openrail openrail++ creativeml-openrail-m bigscience-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m gemma llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 apple-ascl apple-amlr
deepfloyd-if-license intel-research open-mdw h-research grok2-community lgpl-lr gpl cc bsd lgpl
c-uda unknown
"""
_NON_COMMERCIAL = re.compile(r"(?i)\bnc\b|non-?commercial")
_EXPRESSION = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()]")
_REFERENCE = re.compile("LicenseRef-[A-Za-z0-9.-]+")
_EXCEPTION = re.compile(r"\bWITH\s+\S+")

# What the text of a licence says in its first lines, and what it is; the first that fits.
_TEXTS = (
    (r"apache license,?\s+version 2\.0", "Apache-2.0"),
    (r"gnu affero general public license\s+version 3", "AGPL-3.0"),
    (r"gnu lesser general public license\s+version 3", "LGPL-3.0"),
    (r"gnu lesser general public license\s+version 2\.1", "LGPL-2.1"),
    (r"gnu general public license\s+version 3", "GPL-3.0"),
    (r"gnu general public license\s+version 2", "GPL-2.0"),
    (r"mozilla public license,?\s+version 2\.0", "MPL-2.0"),
    (r"european union public licen[cs]e v\. ?1\.2", "EUPL-1.2"),
    (r"attribution-noncommercial-sharealike 4\.0", "CC-BY-NC-SA-4.0"),
    (r"attribution-noncommercial-noderivatives 4\.0", "CC-BY-NC-ND-4.0"),
    (r"attribution-noncommercial 4\.0", "CC-BY-NC-4.0"),
    (r"attribution-sharealike 4\.0", "CC-BY-SA-4.0"),
    (r"attribution-noderivatives 4\.0", "CC-BY-ND-4.0"),
    (r"attribution 4\.0 international", "CC-BY-4.0"),
    (r"cc0 1\.0 universal", "CC0-1.0"),
    (r"this is free and unencumbered software", "Unlicense"),
    (r"permission to use, copy, modify, and(/or)? distribute this software", "ISC"),
    (r"permission is hereby granted, free of charge, to any person obtaining a copy of this software", "MIT"),
    (r"redistribution and use in source and binary forms.*neither the name", "BSD-3-Clause"),
    (r"redistribution and use in source and binary forms", "BSD-2-Clause"),
)
_READ_CHARACTERS = 4000


def read_licence(text: str) -> str:
    """Return an SPDX expression for what somebody calls a licence. Raises PipelineError for others."""
    text = text.strip()
    if text.lower() in _OTHER.split():
        return f"LicenseRef-{text.lower().replace('+', '-plus')}"
    if text.lower() in _BY_LOWER:
        return _BY_LOWER[text.lower()]
    names = [name for name in _EXPRESSION.split(_EXCEPTION.sub("", text)) if name.strip()]
    for name in names:
        plain = name.strip().removesuffix("+")
        if plain.lower() not in _BY_LOWER and _REFERENCE.fullmatch(plain) is None:
            raise PipelineError(
                f"{text!r} is no licence that is known here: expected an SPDX identifier such as Apache-2.0, "
                "or 'other' with license_name and license_link in the card"
            )
    if not names:
        raise PipelineError("the licence is empty: expected an SPDX identifier such as Apache-2.0")
    return _canonical(text)


def _canonical(text: str) -> str:
    """Write each identifier as SPDX does."""
    return re.sub(r"[A-Za-z0-9.-]+", lambda word: _BY_LOWER.get(word[0].lower(), word[0]), text)


def recognise_text(text: str) -> str | None:
    """Return which licence a text is; None for one that is not known here."""
    head = " ".join(text[:_READ_CHARACTERS].lower().split())
    return next((name for pattern, name in _TEXTS if re.search(pattern, head)), None)


def check_licence(metadata: Mapping[str, Any], text: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the licence that a card and a licence's text agree on, and what to tell about it.

    Args:
        metadata: Of the card; `license` is a name or a list of names.
        text: Of the file LICENSE; None where there is none.

    Raises:
        PipelineError: They contradict each other, or the card's is not known.
    """
    licence = as_expression(metadata.get("license"))
    found = recognise_text(text) if text is not None else None
    if not licence:
        if found is None:
            return "", ("no licence is named: whoever gets the model may not use it; see --license",)
        return found, (f"the licence is {found} by its text; the card does not say so",)
    if found is not None and not _agrees(licence, found):
        raise PipelineError(
            f"the card says {licence}, and the text in LICENSE is {found}: correct one of them"
        )
    told = []
    if licence == "LicenseRef-other" and not metadata.get("license_link") and text is None:
        told.append("the licence 'other' says nothing: add license_name and license_link, or a LICENSE")
    if _NON_COMMERCIAL.search(licence):
        told.append(f"{licence} forbids commercial use")
    return licence, tuple(told)


def as_expression(named: object) -> str:
    """Return the SPDX expression of what a card calls `license`: a name or a list; empty where it is none."""
    names = [str(one) for one in named] if isinstance(named, list) else [str(named)] if named else []
    return " OR ".join(read_licence(one) for one in names)


def hub_licence(licence: str) -> str | list[str]:
    """Return an SPDX expression as cards name it: in lower case, a list of those that one may choose."""
    names = [name.removeprefix("LicenseRef-").replace("-plus", "+") for name in licence.split(" OR ")]
    lower = [name.lower() for name in names]
    return lower if len(lower) > 1 else lower[0]


def _agrees(licence: str, found: str) -> bool:
    """Whether a text is of one of the licences; `GPL-3.0-or-later` has the text of `GPL-3.0`."""
    names = [name.strip().removesuffix("+") for name in _EXPRESSION.split(licence)]
    if any(name.startswith("LicenseRef-") for name in names):
        return True
    texts = {re.sub("-(only|or-later)$", "", name) for name in names}
    # They differ in one paragraph, which a head may cut off.
    kin = {"BSD-2-Clause", "BSD-3-Clause"}
    return found in texts or (found in kin and bool(kin & texts)) or (found == "MIT" and "MIT-0" in texts)
