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

{{/* Fails where another release serves the same namespaces: two operators would write against each other without
end. A release for some namespaces looks into these alone, for it may not look further. `helm template` sees no
cluster and lets everything pass. */}}
{{- define "modelservice-operator.alone" -}}
{{- $root := . }}
{{- range include "modelservice-operator.namespaces" . | fromYamlArray | default (list "") }}
{{- $kind := ternary "RoleBinding" "ClusterRoleBinding" (ne . "") }}
{{- $served := ternary (printf "namespace %s" .) "all namespaces" (ne . "") }}
{{- range (lookup "rbac.authorization.k8s.io/v1" $kind . "").items | default list }}
{{- /* The Lease of a release lies where it runs; a Role for models says whom it serves. */}}
{{- $serves := or (eq $kind "ClusterRoleBinding") (hasSuffix "-models" .roleRef.name) }}
{{- if and $serves (eq (dig "labels" "app.kubernetes.io/name" "" .metadata) "modelservice-operator") }}
{{- $account := first .subjects }}
{{- if ne $account.namespace $root.Release.Namespace }}
{{- fail (printf "An operator in namespace %s already serves %s (%s %s): two would write against each other without end. Remove that release first, or what is left of it, or give each of them namespaces of its own by operator.watchNamespaces." $account.namespace $served $kind .metadata.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
