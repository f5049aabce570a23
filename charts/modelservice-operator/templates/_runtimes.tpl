{{/* The spec of the default ModelRuntime. */}}
{{- define "modelservice-operator.defaultRuntime" -}}
image: {{ include "modelservice-operator.image" (dict "root" . "image" .Values.defaultRuntime.image) }}
{{- if .Values.defaultRuntime.gpuImage.repository }}
gpuImage: {{ include "modelservice-operator.image" (dict "root" . "image" .Values.defaultRuntime.gpuImage) }}
{{- end }}
{{- with .Values.defaultRuntime.gpuImages }}
gpuImages:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (.Values.global.imagePullSecrets | default list) .Values.defaultRuntime.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The ModelRuntimes of a release that has Roles only: it cannot read objects of the cluster, so they are a file. */}}
{{- define "modelservice-operator.runtimes" -}}
{{- if .Values.defaultRuntime.install }}
---
apiVersion: modelservice.dev/v1alpha1
kind: ModelRuntime
metadata:
  name: {{ .Values.defaultRuntime.name }}
  annotations:
    modelservice.dev/is-default-runtime: "true"
spec:
  {{- include "modelservice-operator.defaultRuntime" . | nindent 2 }}
{{- else if not .Values.operator.runtimes }}
{{- fail "With operator.watchNamespaces the release brings its own ModelRuntimes: set defaultRuntime.install=true, or operator.runtimes." }}
{{- end }}
{{- range .Values.operator.runtimes }}
---
apiVersion: modelservice.dev/v1alpha1
kind: ModelRuntime
metadata:
  name: {{ .name }}
spec:
  {{- toYaml .spec | nindent 2 }}
{{- end }}
{{- end }}
