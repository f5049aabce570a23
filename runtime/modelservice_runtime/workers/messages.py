"""The keys of the messages between the supervisor and a worker."""

# To the worker: its settings, once; that all workers are ready; questions for its counters and for its load,
# each with a number.
SETTINGS = "settings"
GROUP_READY = "groupReady"
REPORT = "report"
LOOK = "look"
# To the supervisor: that this worker is ready, with the seconds of its warm-up; which files it could not
# use when they changed, whenever that is another answer; why it ends. The
# answers to REPORT and LOOK repeat their number and bring MODELS and LOAD.
READY = "ready"
FILES = "files"
FATAL = "fatal"
MODELS = "models"
LOAD = "load"
