{{/* One agent a node, and one release a cluster: names are the same everywhere, and the definitions are the cluster's. */}}

{{- define "wardline.labels" -}}
app.kubernetes.io/name: wardline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end -}}

{{/* Of the agents' pods; they cannot be changed later. */}}
{{- define "wardline.agentLabels" -}}
app.kubernetes.io/name: wardline
app.kubernetes.io/component: agent
{{- end -}}

{{- define "wardline.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- if .digest }}@{{ .digest }}{{ end -}}
{{- end -}}
{{- end -}}
