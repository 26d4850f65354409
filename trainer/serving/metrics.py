"""The metrics of a server, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SHARES = tuple(i / 20 for i in range(1, 21))


class Metrics:
    """The counters of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "svhn_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.rejects = Counter(
            "svhn_rejected_images", "Images that could not be read.", ["reason"], registry=self.registry
        )
        self.stages = Histogram(
            "svhn_stage_seconds", "Seconds by stage.", ["model", "stage"], buckets=SECONDS, registry=self.registry
        )
        self.sizes = Histogram(
            "svhn_batch_images", "Images of a batch.", ["model"], buckets=SIZES, registry=self.registry
        )
        self.confidence = Histogram(
            "svhn_confidence", "Confidence of the best number.", ["model"], buckets=SHARES, registry=self.registry
        )

    def batch(self, model: str, size: int, waited: list[float], seconds: float) -> None:
        """Count a batch: its size, how long its images waited, and how long it took, in seconds."""
        self.sizes.labels(model).observe(size)
        self.stages.labels(model, "read").observe(seconds)
        for one in waited:
            self.stages.labels(model, "wait").observe(one)

    def text(self) -> bytes:
        """Return all counters in Prometheus's text format."""
        return generate_latest(self.registry)
