{{/* The name of every object: the release's own where it already says modelservice-operator. */}}
{{- define "modelservice-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "modelservice-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "modelservice-operator.fullname" .) -}}
{{- end }}

{{/* Fixed for the life of a release: Deployments cannot change their selector. */}}
{{- define "modelservice-operator.selectorLabels" -}}
{{ include "modelservice-operator.component.selectorLabels" (dict "root" . "component" "operator") }}
{{- end }}

{{/* Of objects that belong to no component or to the operator. */}}
{{- define "modelservice-operator.labels" -}}
{{ include "modelservice-operator.component.labels" (dict "root" . "component" "operator") }}
{{- end }}

{{/* One image reference: (dict "root" $ "image" .Values.image). */}}
{{- define "modelservice-operator.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Of our own pods; the API server refuses a name that comes twice. */}}
{{- define "modelservice-operator.imagePullSecrets" -}}
{{- with concat (.Values.global.imagePullSecrets | default list) .Values.imagePullSecrets | uniq -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* `labels` and `annotations` of any object: (dict "root" $), and "component", and what is its own as the dicts
"labels" and "annotations". */}}
{{- define "modelservice-operator.marks" -}}
labels:
  {{- $labels := include "modelservice-operator.component.labels" (dict "root" .root "component" (.component | default "operator")) | fromYaml }}
  {{- merge (deepCopy (.labels | default dict)) $labels | toYaml | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "modelservice-operator.priorityClassName" -}}
{{- .Values.priorityClass.name | default (include "modelservice-operator.fullname" .) -}}
{{- end }}

{{/* The namespaces that are served, as a YAML list; empty: all. */}}
{{- define "modelservice-operator.namespaces" -}}
{{- with .Values.operator.watchNamespace }}
{{- fail (printf "operator.watchNamespace is operator.watchNamespaces now, a list: set operator.watchNamespaces={%s} instead. The operator then has Roles there and no ClusterRole." .) }}
{{- end }}
{{- range .Values.operator.watchNamespaces | uniq }}
- {{ . }}
{{- end }}
{{- end }}

{{/* "yes" where the objects of the Prometheus operator are to be made. */}}
{{- define "modelservice-operator.monitoring" -}}
{{- $served := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if or (eq (toString .Values.monitoring.enabled) "true") (and (eq (toString .Values.monitoring.enabled) "auto") $served) -}}
yes
{{- end -}}
{{- end }}

{{/* The pods of all components, as a label selector. */}}
{{- define "modelservice-operator.components.selector" -}}
matchLabels:
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/name
    operator: In
    values: [modelservice-operator, modelservice-autoscaler, modelservice-activator]
{{- end }}

{{/* The same as a peer of a NetworkPolicy in any namespace, as an argument of a container. */}}
{{- define "modelservice-operator.components.peer" -}}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: $(POD_NAMESPACE)
podSelector:
  {{- include "modelservice-operator.components.selector" . | nindent 2 }}
{{- end }}
