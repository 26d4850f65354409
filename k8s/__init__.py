"""Run training and pipelines in a Kubernetes cluster."""

from typing import Any

Object = dict[str, Any]
