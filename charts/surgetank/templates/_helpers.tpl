{{- define "surgetank.name" -}}
{{- if contains "surgetank" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-surgetank" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "surgetank.selector" -}}
app.kubernetes.io/name: surgetank
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "surgetank.labels" -}}
{{ include "surgetank.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "surgetank.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "surgetank.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* What the operator does in the namespaces of pipelines, verb by verb. */ -}}
{{- define "surgetank.rules" -}}
# Its own kind: read it, put a finalizer on it where topics go with it, say how it is.
- apiGroups: [surgetank.dev]
  resources: [telemetrypipelines]
  verbs: [get, list, watch, patch]
- apiGroups: [surgetank.dev]
  resources: [telemetrypipelines/status]
  verbs: [patch]
# Children name the pipeline as owner that is deleted after them.
- apiGroups: [surgetank.dev]
  resources: [telemetrypipelines/finalizers]
  verbs: [update]
# Children: server-side apply is create or patch.
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# Pods are only looked at: their addresses, readiness, and why they don't start.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The claims of edges: those that no pod uses are named in the status, those that are too small grow.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.rbac.secrets }}
# By name, those that spec.kafka refers to; never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
{{- end }}
