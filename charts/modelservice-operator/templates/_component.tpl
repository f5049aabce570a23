{{/* What the components beside the operator have in common; the argument is (dict "root" $ "component" "autoscaler"), and "sysctls" for pods. */}}

{{- define "modelservice-operator.component.fullname" -}}
{{- printf "%s-%s" (include "modelservice-operator.fullname" .root) .component -}}
{{- end }}

{{/* The operator's own selector must not choose them, so their name is another one. */}}
{{- define "modelservice-operator.component.selectorLabels" -}}
app.kubernetes.io/name: modelservice-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "modelservice-operator.component.labels" -}}
{{ include "modelservice-operator.component.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: modelservice
{{- end }}

{{- define "modelservice-operator.component.metadata" -}}
name: {{ include "modelservice-operator.component.fullname" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "modelservice-operator.component.labels" . | nindent 2 }}
{{- end }}

{{/* Metadata of the pods: the user's labels first, ours last. */}}
{{- define "modelservice-operator.component.podMetadata" -}}
labels:
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "modelservice-operator.component.labels" . | nindent 2 }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where pods run and as whom, without their containers. */}}
{{- define "modelservice-operator.component.podSettings" -}}
serviceAccountName: {{ include "modelservice-operator.component.fullname" . }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
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
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 16Mi
{{- end }}

{{/* What every container has, whatever it does: the operator's image, probes on port 8081, no rights. */}}
{{- define "modelservice-operator.component.container" -}}
image: {{ include "modelservice-operator.image" (dict "image" .root.Values.image "version" .root.Chart.AppVersion) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# As in the image, but for the module.
command: [/opt/venv/bin/dumb-init, --single-child, --, /opt/venv/bin/python, -m, modelservice_{{ .component }}]
env:
  - name: POD_NAMESPACE
    valueFrom:
      fieldRef:
        fieldPath: metadata.namespace
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
startupProbe:
  httpGet:
    path: /healthz
    port: http
  periodSeconds: 1
  failureThreshold: 60
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
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end }}
