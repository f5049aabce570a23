"""The keys of the messages between the supervisor and a worker."""

# To the worker: its settings, once; that all workers are ready; a question for its counters, with a number.
SETTINGS = "settings"
GROUP_READY = "groupReady"
REPORT = "report"
# To the supervisor: that this worker is ready; why it ends. The answer to REPORT
# repeats its number and brings MODELS.
READY = "ready"
FATAL = "fatal"
MODELS = "models"
