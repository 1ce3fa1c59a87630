"""What sources and destinations share of Kafka: how a cluster is reached, and why it is not."""
