"""Apache Kafka as a source. `source` has `KafkaSource`, `connection` how a cluster is reached."""
