"""`info`: what this machine and this installation offer a model, and what a model asks of them."""

import argparse
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import orjson

from modelservice_runtime.errors import StartupError
from modelservice_runtime.machine.cpu import available_cpus, cpu_features, cpu_name
from modelservice_runtime.machine.gpu_devices import open_gpus
from modelservice_runtime.models.batching_decision import BatchingWish, prove_file
from modelservice_runtime.models.learning import learn
from modelservice_runtime.models.samples import read_samples
from modelservice_runtime.onnx.execution_providers import find_graph_obstacle, short_name
from modelservice_runtime.onnx.graph.scan import scan_model_file
from modelservice_runtime.onnx.model import find_model_file, load_onnx_model
from modelservice_runtime.onnx.probe import onnxruntime_version, probe_providers
from modelservice_runtime.protocols.oip.samples import decode_sample
from modelservice_runtime.settings.info import add_info_arguments
from modelservice_runtime.settings.serve import SettingsParser
from modelservice_runtime.settings.sessions import SessionSettings
from modelservice_runtime.tensors import TensorSpec

Facts = Mapping[str, object]

# As many rows as tell whether the rows of a batch depend on each other.
_WISH = BatchingWish(8)
_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "orjson", "uvloop")


def run(argv: Sequence[str]) -> int:
    """Run `python -m modelservice_runtime info`; returns the exit code."""
    parser = SettingsParser(prog="modelservice_runtime info", allow_abbrev=False)
    add_info_arguments(parser)
    try:
        return print_info(parser.parse_args(argv))
    except StartupError as error:
        print(error, file=sys.stderr)
        return 1


def print_info(arguments: argparse.Namespace) -> int:
    """Print what the parsed flags ask for; returns 0. Raises StartupError."""
    facts: dict[str, object] = dict(collect_machine())
    if arguments.model is not None:
        providers = tuple(arguments.execution_provider) or ("CPU",)
        wish = replace(_WISH, rows_are_independent=arguments.rows_are_independent)
        facts["model"] = collect_model(arguments.model, providers, wish, arguments.samples)
    if arguments.json:
        print(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(format_facts(facts)))
    return 0


def collect_machine() -> Facts:
    """Versions, execution providers, CPU, threads and GPUs."""
    cpus = available_cpus()
    gpus = open_gpus()
    return {
        "versions": {
            "modelservice": metadata.version("modelservice"),
            "python": platform.python_version(),
            **_package_versions(),
        },
        "execution_providers": {
            name: "usable" if usable else "listed, but it does not start here"
            for name, usable in probe_providers().items()
        },
        "cpu": {"name": cpu_name(), "architecture": platform.machine(), "features": cpu_features()},
        "threads": {"available": cpus, "intra_op_default": cpus},
        "gpus": [
            {
                "name": gpu.name,
                "uuid": gpu.uuid,
                "memory_total_bytes": gpu.memory_total_bytes,
                "driver": gpus.driver_version,
            }
            for gpu in gpus.read()
        ]
        if gpus is not None
        else [],
    }


def collect_model(
    path: Path, providers: tuple[str, ...], wish: BatchingWish = _WISH, given: Sequence[str] = ()
) -> Facts:
    """Load, warm up and check the model at `path`, with the samples `given`. Raises StartupError."""
    started = time.perf_counter()
    model = load_onnx_model(path, "model", "1", SessionSettings(providers, available_cpus()))
    load_seconds = time.perf_counter() - started
    samples = read_samples(model.spec, path, given, decode_sample)
    scan = scan_model_file(find_model_file(path))
    file, external = scan.files.model, scan.files.external
    learned = learn(model, wish, lambda: prove_file(file), samples)
    run_microseconds = None if learned.run_seconds is None else round(learned.run_seconds * 1e6, 1)
    return {
        "file": file.name,
        "size_bytes": sum(part.stat().st_size for part in (file, *external)),
        "external_data_files": len(external),
        "ir_version": scan.ir_version,
        "opsets": {domain or "ai.onnx": version for domain, version in sorted(scan.opsets.items())},
        "execution_providers": [short_name(name) for name in model.execution_providers],
        "inputs": [_describe(tensor) for tensor in model.spec.inputs],
        "outputs": [_describe(tensor) for tensor in model.spec.outputs],
        "left_out_outputs": dict(model.spec.left_out),
        "load_seconds": round(load_seconds, 3),
        "run_microseconds": run_microseconds,
        "batchable": learned.batching.max_batch_size > 1,
        "batching_source": learned.batching.source,
        "batching_obstacle": learned.batching.obstacle,
        "time_depends_on_values": learned.time_varies,
        "cuda_graphs": find_graph_obstacle(model.spec, has_control_flow=scan.has_control_flow) or "possible",
        "note": learned.note,
    }


def format_facts(facts: Facts, indent: str = "") -> list[str]:
    """Lines of `name: value`; names with a space for an underscore, what is empty left out."""
    lines = []
    for name, value in facts.items():
        label = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(value, Mapping):
            lines += [label, *format_facts(value, indent + "  ")] if value else []
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [label, *(f"{indent}  {_one_line(entry)}" for entry in value)]
        elif value not in ("", None, []):
            lines.append(f"{label} {_plain(value)}")
    return lines


def _package_versions() -> dict[str, str]:
    versions = {"numpy": str(np.__version__), "onnxruntime": onnxruntime_version()}
    for package in _PACKAGES:
        try:
            versions.setdefault(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
    return versions


def _describe(tensor: TensorSpec) -> dict[str, object]:
    described: dict[str, object] = {
        "name": tensor.name,
        "datatype": tensor.datatype.name,
        "shape": tensor.public_shape,
    }
    if tensor.labels:
        described["labels"] = [str(label) for label in tensor.labels]
    return described


def _one_line(entry: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in entry.items())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]" if value and isinstance(value[0], int) else " ".join(value)
    return str(value)
