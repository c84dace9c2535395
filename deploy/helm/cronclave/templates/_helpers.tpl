{{- define "cronclave.name" -}}
{{- if contains "cronclave" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-cronclave" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "cronclave.selector" -}}
app.kubernetes.io/name: cronclave
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "cronclave.labels" -}}
app.kubernetes.io/name: cronclave
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "cronclave.schedules" -}}
{{ .Values.existingSchedules | default (printf "%s-schedules" (include "cronclave.name" .)) }}
{{- end }}

{{- /* A Deployment of replicas or of workers: root, component, name, what (its values), grace, args, env. */}}
{{- define "cronclave.deployment" -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels:
    {{- include "cronclave.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ .what.count }}
  selector:
    matchLabels:
      {{- include "cronclave.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: { maxUnavailable: 0, maxSurge: 1 }
  template:
    metadata:
      labels:
        {{- include "cronclave.selector" . | nindent 8 }}
      {{- if or (not $values.podMonitor) $values.podAnnotations }}
      annotations:
        {{- if not $values.podMonitor }}
        prometheus.io/scrape: "true"
        prometheus.io/port: "8080"
        prometheus.io/path: /metrics
        {{- end }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
    spec:
      terminationGracePeriodSeconds: {{ add .grace 15 }}
      automountServiceAccountToken: false
      # Else a Service of our name would set variables of our prefix.
      enableServiceLinks: false
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "cronclave.selector" . | nindent 14 }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: { type: RuntimeDefault }
      containers:
        - name: cronclave
          image: "{{ $values.image.repository }}:{{ $values.image.tag | default .root.Chart.AppVersion }}"
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args:
            {{- toYaml .args | nindent 12 }}
          ports:
            - { name: http, containerPort: 8080 }
          env:
            - name: CRONCLAVE_LISTEN
              value: ":8080"
            - name: CRONCLAVE_CLUSTER
              value: {{ $values.cluster | quote }}
            - name: CRONCLAVE_GRACE
              value: {{ printf "%ds" (int .grace) | quote }}
            - name: CRONCLAVE_REPLICA
              valueFrom: { fieldRef: { fieldPath: metadata.name } }
            # Prometheus sends no token; the network policy says who reaches this port at all.
            - name: CRONCLAVE_METRICS_PUBLIC
              value: "1"
            - name: CRONCLAVE_REDIS_URL
              valueFrom: { secretKeyRef: { name: {{ $values.secret }}, key: redis-url } }
            - name: CRONCLAVE_AMQP_URL
              valueFrom: { secretKeyRef: { name: {{ $values.secret }}, key: amqp-url, optional: {{ eq .component "replica" }} } }
            {{- toYaml .env | nindent 12 }}
            {{- with .what.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # Whoever waits for a Redis lives, and is not ready.
          livenessProbe:
            httpGet: { path: /livez, port: http }
            periodSeconds: 10
            timeoutSeconds: 3
          readinessProbe:
            httpGet: { path: /readyz, port: http }
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          resources:
            {{- toYaml .what.resources | nindent 12 }}
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: { drop: [ALL] }
          volumeMounts:
            - { name: schedules, mountPath: /etc/cronclave, readOnly: true }
            - { name: tmp, mountPath: /tmp }
            - { name: work, mountPath: /var/lib/cronclave }
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumes:
        - name: schedules
          configMap: { name: {{ include "cronclave.schedules" .root }} }
        - name: tmp
          emptyDir: {}
        - name: work
          emptyDir: {}
{{- end }}

{{- define "cronclave.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels:
    {{- include "cronclave.labels" .root | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "cronclave.selector" . | nindent 6 }}
{{- end }}
