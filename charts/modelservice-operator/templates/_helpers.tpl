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
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "modelservice-operator.labels" -}}
{{ include "modelservice-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: modelservice
{{- end }}

{{/* One image reference: (dict "image" .Values.image "version" .Chart.AppVersion). */}}
{{- define "modelservice-operator.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .version) -}}
{{- end -}}
{{- end }}
