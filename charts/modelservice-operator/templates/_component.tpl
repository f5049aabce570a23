{{/* What the operator, the autoscaler and the activator have in common; the argument is
(dict "root" $ "component" "autoscaler"), and for pods "sysctls",
"podAnnotations" and the end of the name of a "configMap", which lies in /etc/modelservice then. */}}

{{- define "modelservice-operator.component.fullname" -}}
{{- $name := include "modelservice-operator.fullname" .root -}}
{{- if eq .component "operator" -}}{{ $name }}{{- else -}}{{ printf "%s-%s" $name .component }}{{- end -}}
{{- end }}

{{/* Fixed for the life of a release. The names differ, so that no component's selector chooses another's pods. */}}
{{- define "modelservice-operator.component.selectorLabels" -}}
app.kubernetes.io/name: modelservice-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The user's labels, and ours, which win where selectors need them. */}}
{{- define "modelservice-operator.component.labels" -}}
{{- $ours := include "modelservice-operator.component.selectorLabels" . | fromYaml }}
{{- $defaults := dict "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/part-of" "modelservice" }}
{{- merge $ours .root.Values.commonLabels $defaults | toYaml }}
{{- end }}

{{/* Metadata of an object in the release's namespace; "annotations" and "labels" are its own. */}}
{{- define "modelservice-operator.component.metadata" -}}
name: {{ include "modelservice-operator.component.fullname" . }}
namespace: {{ .root.Release.Namespace }}
{{ include "modelservice-operator.marks" . }}
{{- end }}

{{/* Metadata of the pods: the user's labels first, ours last. */}}
{{- define "modelservice-operator.component.podMetadata" -}}
{{- $own := index .root.Values .component }}
labels:
  {{- $labels := include "modelservice-operator.component.labels" . | fromYaml }}
  {{- $wanted := merge (deepCopy $own.podLabels) .root.Values.podLabels }}
  {{- $ours := include "modelservice-operator.component.selectorLabels" . | fromYaml }}
  {{- merge $ours $wanted $labels | toYaml | nindent 2 }}
{{- with merge (deepCopy $own.podAnnotations) .root.Values.podAnnotations (.podAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "modelservice-operator.component.serviceAccountName" -}}
{{- if eq .component "operator" -}}
{{- include "modelservice-operator.serviceAccountName" .root -}}
{{- else -}}
{{- include "modelservice-operator.component.fullname" . -}}
{{- end -}}
{{- end }}

{{/* The component's, else that of all, else the one that the chart makes. */}}
{{- define "modelservice-operator.component.priorityClassName" -}}
{{- $own := index .root.Values .component -}}
{{- $created := ternary (include "modelservice-operator.priorityClassName" .root) "" .root.Values.priorityClass.create -}}
{{- coalesce $own.priorityClassName .root.Values.priorityClassName $created | default "" -}}
{{- end }}

{{- define "modelservice-operator.component.placement" -}}
{{- $own := index .root.Values .component }}
{{- with merge (deepCopy $own.nodeSelector) .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .root.Values.tolerations $own.tolerations | uniq }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity | default .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where pods run and as whom, without their containers. */}}
{{- define "modelservice-operator.component.podSettings" -}}
{{- $own := index .root.Values .component }}
serviceAccountName: {{ include "modelservice-operator.component.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with include "modelservice-operator.imagePullSecrets" .root }}
{{ . }}
{{- end }}
{{- with include "modelservice-operator.component.priorityClassName" . }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
  {{- with .sysctls }}
  sysctls:
    {{- toYaml . | nindent 4 }}
  {{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "modelservice-operator.component.selectorLabels" . | nindent 8 }}
{{- with include "modelservice-operator.component.placement" . | trim }}
{{ . }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 16Mi
  {{- with .configMap }}
  - name: {{ . }}
    configMap:
      name: {{ include "modelservice-operator.component.fullname" $ }}-{{ . }}
  {{- end }}
{{- end }}

{{/* What every container has, whatever it does: one image, probes on port 8081, no rights. */}}
{{- define "modelservice-operator.component.container" -}}
{{- $own := index .root.Values .component }}
image: {{ include "modelservice-operator.image" (dict "root" .root "image" .root.Values.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- if ne .component "operator" }}
# As in the image, but for the module.
command: [/opt/venv/bin/dumb-init, --single-child, --, /opt/venv/bin/python, -m, modelservice_{{ .component }}]
{{- end }}
env:
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- /* The API server refuses a name that comes twice. */}}
  {{- $env := list }}
  {{- range $shared := .root.Values.extraEnv }}
  {{- $here := false }}
  {{- range $own.extraEnv }}
  {{- $here = or $here (eq .name $shared.name) }}
  {{- end }}
  {{- if not $here }}
  {{- $env = append $env $shared }}
  {{- end }}
  {{- end }}
  {{- with concat $env $own.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
# A cold start with thousands of objects takes seconds, and minutes where others have the node: who is killed in it
# begins anew, and is no sooner ready. Liveness counts only after it.
startupProbe:
  httpGet:
    path: /healthz
    port: http
  periodSeconds: 1
  failureThreshold: 300
livenessProbe:
  httpGet:
    path: /healthz
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: http
  periodSeconds: 2
  timeoutSeconds: 5
resources:
  {{- toYaml (ternary .root.Values.resources $own.resources (eq .component "operator")) | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- with .configMap }}
  - name: {{ . }}
    mountPath: /etc/modelservice
    readOnly: true
  {{- end }}
{{- end }}

{{/* Deployment.spec but for its template. */}}
{{- define "modelservice-operator.component.deployment" -}}
replicas: {{ ternary .root.Values.replicas (index .root.Values .component).replicas (eq .component "operator") }}
revisionHistoryLimit: 3
selector:
  matchLabels:
    {{- include "modelservice-operator.component.selectorLabels" . | nindent 4 }}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxSurge: {{ .root.Values.rollingUpdate.maxSurge }}
    maxUnavailable: {{ .root.Values.rollingUpdate.maxUnavailable }}
{{- end }}

{{- define "modelservice-operator.component.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "modelservice-operator.component.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .root.Values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "modelservice-operator.component.selectorLabels" . | nindent 6 }}
{{- end }}

{{/* Annotations of Services by which Prometheus' common discovery finds the metrics port. */}}
{{- define "modelservice-operator.scrapeAnnotations" -}}
{{- $ours := dict "prometheus.io/scrape" "true" "prometheus.io/port" "8081" "prometheus.io/path" "/metrics" }}
{{- merge (deepCopy .Values.metrics.service.annotations) $ours | toYaml }}
{{- end }}
