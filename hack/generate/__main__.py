"""Write every generated file: `python -m hack.generate`, from the repository's root."""

from __future__ import annotations

from pathlib import Path

from hack.generate.argocd import argocd_config_map
from hack.generate.chart_readme import chart_readme
from hack.generate.crds import model_runtime_crd, model_service_crd, runtime_rollout_crd, to_yaml
from hack.generate.dashboards import dashboard_files
from hack.generate.go_stub import go_stub
from hack.generate.layers import layers_picture
from hack.generate.manifests import golden_renders, rendered_manifests
from hack.generate.metrics import metrics_page
from hack.generate.phases import phases_picture
from hack.generate.protos import proto_modules
from hack.generate.reference import reference_page
from hack.generate.terminal import terminal_pictures

ROOT = Path(__file__).resolve().parents[2]


def generated_files() -> dict[Path, str]:
    """Return the content of every generated file, by its path from the root."""
    files = {}
    for crd in (model_service_crd(), model_runtime_crd(), runtime_rollout_crd()):
        names = crd["spec"]["names"]
        for folder in (Path("crds"), Path("charts/modelservice-operator/files/crds")):
            files[folder / f"{names['plural']}.yaml"] = to_yaml(crd)
        files[Path(f"docs/reference/{names['singular']}.md")] = reference_page(crd)
    return files


def main() -> None:
    """Write the files that differ and name them."""
    _write(generated_files())
    _write(proto_modules(ROOT))
    _write(go_stub(ROOT))
    _write(layers_picture(ROOT))
    _write(phases_picture())
    _write(terminal_pictures(ROOT))
    _write(argocd_config_map(ROOT))
    _write(dashboard_files())
    _write(metrics_page())
    _write(chart_readme(ROOT))
    # The chart holds the definitions and the dashboards, so it is rendered after they are written.
    _write(rendered_manifests(ROOT))
    _write(golden_renders(ROOT))


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        target = ROOT / path
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
