{{/* Rights wherever ModelServices are served: by a ClusterRole, or by a Role in each of the namespaces and no
ClusterRole at all. The argument is (dict "me" (dict "root" $ "component" "operator") "rules" TEXT). Roles have a
name of their own, because the one of the Lease may lie in the same namespace. */}}
{{- define "modelservice-operator.grant" -}}
{{- $me := .me }}
{{- $rules := .rules }}
{{- $fullname := include "modelservice-operator.component.fullname" $me }}
{{- range include "modelservice-operator.namespaces" $me.root | fromYamlArray | default (list "") }}
{{- $kind := ternary "Role" "ClusterRole" (ne . "") }}
{{- $name := ternary (printf "%s-models" $fullname) $fullname (ne . "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  {{- include "modelservice-operator.marks" $me | nindent 2 }}
rules:
{{- $rules | trimSuffix "\n" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $name }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  {{- include "modelservice-operator.marks" $me | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "modelservice-operator.component.serviceAccountName" $me }}
    namespace: {{ $me.root.Release.Namespace }}
{{- end }}
{{- end }}
