"""Specs that between them use every field; shared by the golden files and the round trip through a server."""

from __future__ import annotations

from typing import Any

SHA = "0123456789abcdef" * 4

SPECS: dict[str, dict[str, Any]] = {
    "smallest": {"model": {"storageUri": "oci://registry.example/models/spam:1"}},
    "full": {
        "model": {
            "storageUri": "s3://models/spam/3/model.onnx",
            "sha256": SHA,
            "version": "3",
            "maxSize": "2.5Gi",
            "credentials": {"secretName": "s3-models"},
        },
        "runtime": {"ref": "onnx", "executionProviders": ["CPU"], "intraOpThreads": 3},
        "replicas": 2,
        "resources": {
            "requests": {"cpu": "500m", "memory": "1024Mi"},
            "limits": {"cpu": "1500m", "memory": "2Gi", "ephemeral-storage": "20G"},
        },
        "scheduling": {
            "nodeSelector": {"pool": "serving"},
            "tolerations": [
                {"key": "team", "operator": "Equal", "value": "mail", "effect": "NoSchedule"},
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
            ],
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "arch", "operator": "In", "values": ["amd64"]}]}
                        ]
                    }
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 50,
                            "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {"app": "database"}},
                                "namespaceSelector": {},
                                "namespaces": [],
                            },
                        }
                    ]
                },
            },
            "priorityClassName": "system-cluster-critical",
            "topologySpread": "Required",
        },
        "podMetadata": {
            "labels": {"team": "mail", "app": ""},
            "annotations": {"example.com/note": "hello"},
        },
        "imagePullSecrets": [{"name": "regcred"}, {"name": "other"}],
        "serviceAccountName": "workload",
        "terminationGracePeriodSeconds": 10,
        "autoscaling": {
            "minReplicas": 2,
            "maxReplicas": 8,
            "metrics": [
                {"type": "CPU", "target": {"averageUtilization": 70}},
                {"type": "Memory", "target": {"averageValue": "1024Mi"}},
            ],
            "behavior": {
                "scaleUp": {"policies": []},
                "scaleDown": {
                    "stabilizationWindowSeconds": 60,
                    "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
                    "tolerance": "0.05",
                },
            },
        },
        "batching": {"maxBatchSize": 32, "maxDelayMilliseconds": 5},
    },
    "gpu": {
        "model": {"storageUri": "https://models.example/spam.onnx?version=2", "sha256": SHA},
        "gpu": {"count": 1, "product": "NVIDIA-L4"},
        "resources": {"limits": {"memory": "8Gi"}},
        "scheduling": {
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        },
    },
    "mig": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "gpu": {"count": 1, "resource": "nvidia.com/mig-1g.5gb"},
        "scheduling": {"topologySpread": "Disabled"},
        "autoscaling": {"maxReplicas": 3},
    },
    "products": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "gpu": {"count": 1, "products": ["NVIDIA-L4", "NVIDIA-A10", "Tesla-T4"], "memory": "20Gi"},
        "scheduling": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]},
                        ]
                    },
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "weight": 5,
                            "preference": {"matchExpressions": [{"key": "fast", "operator": "Exists"}]},
                        }
                    ],
                }
            }
        },
    },
    "shared": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "gpu": {
            "count": 1,
            "product": "Tesla-T4",
            "sharing": {"strategy": "MPS", "memoryLimit": "4Gi"},
        },
    },
    "slice": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "gpu": {"count": 1, "migProfile": "1g.10gb+me", "product": "NVIDIA-A100-SXM4-80GB"},
    },
    "amd": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "runtime": {"ref": "every-gpu"},
        "gpu": {"count": 1, "resource": "amd.com/gpu", "memory": "3.5Gi"},
    },
    "intel": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "runtime": {"ref": "every-gpu"},
        "gpu": {"count": 1, "resource": "gpu.intel.com/xe", "product": "Flex_170"},
    },
    "device": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "gpu": {
            "count": 1,
            "claim": {
                "deviceClassName": "gpu.nvidia.com",
                "selectors": [
                    {"cel": {"expression": "device.attributes['gpu.nvidia.com'].type == 'gpu'"}},
                    {
                        "cel": {
                            "expression": "device.capacity['gpu.nvidia.com'].memory"
                            ".compareTo(quantity('20Gi')) >= 0"
                        }
                    },
                ],
            },
        },
        "resources": {"limits": {"memory": "8Gi"}},
    },
    "tensorrt": {
        "model": {
            "storageUri": "oci://registry.example/models/spam:1",
            "cache": {"claimName": "models", "maxSize": "20Gi", "fsGroup": 65532},
        },
        "gpu": {"count": 1},
        "runtime": {
            "executionProviders": ["TensorRT", "CUDA"],
            "cuda": {
                "memoryLimit": "8Gi",
                "arenaExtendStrategy": "SameAsRequested",
                "convolutionSearch": "Heuristic",
                "tf32": False,
                "graphs": True,
            },
            "tensorrt": {
                "fp16": True,
                "engineCacheSize": "4Gi",
                "profiles": [
                    {"input": "x", "minimum": [1, 4], "optimum": [8, 4], "maximum": [32, 4]},
                ],
            },
        },
    },
    "access": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "auth": {
            "apiKeys": {"secretName": "keys"},
            "jwt": {
                "issuer": "https://login.example/realms/mail",
                "audience": "spam",
                "jwksConfigMapName": "issuer-keys",
                "scopes": ["read", "infer"],
            },
        },
        "tls": {"secretName": "certificate", "clientCASecretName": "certificate"},
        "server": {"auditLog": "All"},
    },
    "settings": {
        "model": {
            "storageUri": "oci://registry.example/models/spam:1",
            "name": "Spam_v2.1",
            "samples": {"shapes": [{"input": "x:0", "shape": [1, 4]}]},
        },
        "server": {
            "maxRequestBytes": "256Mi",
            "idleTimeoutSeconds": 900,
            "maxConnectionAgeSeconds": 0,
            "workers": 2,
            "accessLog": "0.01",
        },
        "resources": {"requests": {"cpu": "4"}},
        "env": [
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.observe:4318"},
            {"name": "OTEL_EXPORTER_OTLP_HEADERS", "secretName": "telemetry"},
            {"name": "TZ", "value": "Europe/Zurich"},
            {"name": "HTTPS_PROXY", "secretName": "proxy"},
            {"name": "no_proxy", "value": ".svc,10.0.0.0/8"},
        ],
        "childMetadata": {
            "labels": {"cost-center": "4711", "modelservice": ""},
            "annotations": {"example.com/owner": "mail team"},
        },
        "networkPolicy": {
            "mode": "Strict",
            "from": [
                {"namespaceSelector": {"matchLabels": {"team": "mail"}}, "podSelector": {}},
                {"namespaceSelector": {}},
                {"ipBlock": {"cidr": "10.0.0.0/8"}},
            ],
            "extraPorts": [15008, 15012],
        },
        "batching": {"maxBatchSize": 8, "rowsAreIndependent": True},
    },
    "generative": {
        "model": {"storageUri": "oci://registry.example/models/chat:1"},
        "generation": {
            "maxSequences": 4,
            "maxContextTokens": 2048,
            "maxOutputTokens": 256,
            "kvCacheMemory": "1.5Gi",
            "prefixCache": False,
        },
    },
    "adapters": {
        "model": {"storageUri": "pvc://models/chat/model.onnx", "name": "chat"},
        "generation": {
            "adapters": [
                {
                    "name": "law",
                    "storageUri": "oci://registry.example/adapters/law:1",
                    "file": "law.onnx_adapter",
                    "credentials": {"secretName": "registry"},
                    "maxSize": "64Mi",
                },
                {"name": "poet", "storageUri": "s3://adapters/poet.onnx_adapter", "sha256": "ab" * 32},
                {"name": "own", "storageUri": "pvc://adapters/v1/own.onnx_adapter", "sha256": "cd" * 32},
                {"name": "small", "storageUri": "configmap://adapters/small.onnx_adapter"},
            ],
        },
    },
    "open": {
        "model": {
            "storageUri": "pvc://models/spam/model.onnx",
            "samples": {"file": "samples.json"},
        },
        "networkPolicy": {"mode": "Disabled"},
    },
    "gateway": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "route": {
            "parentRefs": [{"name": "public", "namespace": "infra", "sectionName": "web", "port": 8000}],
            "hostnames": ["spam.example.com"],
            "grpcHostnames": ["grpc.example.com"],
            "path": "/",
            "timeoutSeconds": 30,
        },
    },
    "gateway-path": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "route": {"parentRefs": [{"name": "public"}], "path": "/spam"},
    },
    "ingress": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "route": {
            "ingress": {"className": "nginx", "tlsSecretName": "cert"},
            "hostnames": ["spam.example.com"],
            "path": "/v2/models/spam",
        },
    },
    "explained": {
        "model": {"storageUri": "oci://registry.example/models/spam:1", "name": "Spam.v1"},
        "imagePullSecrets": [{"name": "mine"}],
        "networkPolicy": {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
        "route": {"parentRefs": [{"name": "public"}], "path": "/spam"},
        "explainer": {"method": "shap", "replicas": 2, "resources": {"limits": {"memory": "1Gi"}}},
    },
    "explained-tls": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "auth": {"apiKeys": {"secretName": "keys"}},
        "tls": {"secretName": "certificate"},
        "explainer": {},
    },
    "explained-ingress": {
        "model": {"storageUri": "configmap://tiny/model.onnx"},
        "networkPolicy": {"mode": "Disabled"},
        "route": {"ingress": {}, "path": "/"},
        "explainer": {},
    },
    "encrypted": {
        "model": {
            "storageUri": "hf://org/spam@v1",
            "sha256": SHA,
            "maxSize": "1Gi",
            "decryption": {"secretName": "spam-key"},
            "cache": {"claimName": "models"},
        },
        "resources": {"requests": {"memory": "1536Mi"}, "limits": {"cpu": "500m", "memory": "2Gi"}},
    },
    "image-volume": {
        "model": {
            "storageUri": "oci://registry.example/models/spam:1",
            "sha256": SHA,
            "imageVolume": {"path": "models/spam.onnx"},
        },
    },
    "claim": {"model": {"storageUri": "pvc://models/team/spam/model.onnx", "sha256": SHA}},
    "verified": {"model": {"storageUri": "s3://models/spam/", "sha256": SHA, "verify": True}},
    "verified-in-place": {"model": {"storageUri": "configmap://tiny/model.onnx", "verify": True}},
    "config-map": {"model": {"storageUri": "configmap://tiny/model.onnx"}},
}

EVALUATED: dict[str, dict[str, Any]] = {
    "evaluated": {
        **SPECS["full"],
        "model": {
            "storageUri": "oci://registry.example/models/spam:1",
            "credentials": {"secretName": "registry"},
        },
        "rollout": {
            "evaluation": {
                "data": {
                    "storageUri": "s3://data/spam/",
                    "file": "test.csv.gz",
                    "sha256": SHA,
                    "credentials": {"secretName": "data"},
                    "maxSize": "64Mi",
                    "label": "is spam",
                    "inputs": [{"name": "x", "columns": ["a", "b"]}],
                    "ignore": ["id", "-"],
                },
                "metric": "F1Macro",
                "output": "label",
                "classes": ["ham", "spam"],
                "min": "0.9",
                "maxDrop": "0.01",
                "minRows": 200,
                "deadlineSeconds": 600,
            }
        },
    },
    "evaluated-artifact": {
        "model": {"storageUri": "oci://registry.example/models/spam:1"},
        "networkPolicy": {"mode": "Disabled"},
        "rollout": {"evaluation": {"data": {"file": "test.csv"}, "metric": "ExactMatch", "min": "0.9"}},
    },
    "evaluated-claim": {
        "model": {"storageUri": "pvc://models/team/spam/model.onnx", "fsGroup": 2000},
        "rollout": {"evaluation": {"data": {"file": "test.csv"}, "min": "0.9"}},
    },
    "evaluated-config-map": {
        "model": {"storageUri": "configmap://tiny/model.onnx"},
        "rollout": {"evaluation": {"data": {"storageUri": "configmap://rows/test.csv"}, "min": "0.9"}},
    },
}
"""Specs whose first revision is evaluated before it gets a pod."""
