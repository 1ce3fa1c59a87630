// Confluent's parallel-consumer: each record by itself, in order by key, some milliseconds of work, so many at once.
// ParallelKeys SERVERS TOPIC RECORDS MILLISECONDS AT_ONCE: prints the records per second from the first to the last.

import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class ParallelKeys {
    public static void main(String[] arguments) throws Exception {
        int records = Integer.parseInt(arguments[2]);
        int milliseconds = Integer.parseInt(arguments[3]);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", "parallel-keys-" + System.nanoTime());
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        KafkaConsumer<byte[], byte[]> consumer =
            new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        ParallelStreamProcessor<byte[], byte[]> processor = ParallelStreamProcessor.createEosStreamProcessor(
            ParallelConsumerOptions.<byte[], byte[]>builder()
                .ordering(ProcessingOrder.KEY)
                .maxConcurrency(Integer.parseInt(arguments[4]))
                .consumer(consumer)
                .build());
        processor.subscribe(List.of(arguments[1]));
        CountDownLatch left = new CountDownLatch(records);
        AtomicLong begun = new AtomicLong();
        processor.poll(context -> {
            begun.compareAndSet(0, System.nanoTime());
            if (milliseconds > 0) {
                try {
                    Thread.sleep(milliseconds);
                } catch (InterruptedException error) {
                    Thread.currentThread().interrupt();
                }
            }
            left.countDown();
        });
        left.await();
        System.out.println(records / ((System.nanoTime() - begun.get()) / 1e9));
        Runtime.getRuntime().halt(0);
    }
}
