"""Apache Beam pipelines that write datasets and score images."""
