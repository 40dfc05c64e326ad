package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** Where groups start, and moving them. */
final class OffsetCases {
    private OffsetCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("offset-reset-live", "offset", "A running group that is moved back to a time gets the messages from then on again.",
            OffsetCases::resetToTime));
        cases.add(new Case("offset-reset-ahead", "offset", "A running group that is moved ahead skips what it has not read, also the message that stopped it.",
            OffsetCases::resetAhead));
        cases.add(new Case("offset-reset-queue", "offset", "A running group goes on at the offset that one of its queues was moved to.", Case.V5,
            OffsetCases::resetQueue));
        cases.add(new Case("consume-start-young", "offset",
            "Whatever a new group asks for, it begins with the first message while that is still there and in memory.", OffsetCases::start));
    }

    /** Sends messages at least 5 ms apart and returns their store times. */
    private static List<Long> stamps(Env e, DefaultMQProducer p, String topic, int n) throws Exception {
        List<Long> times = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            SendResult r = accepted(p.send(message(topic, "m " + i)));
            times.add(p.viewMessage(topic, r.getOffsetMsgId()).getStoreTimestamp());
            e.steady(5, "", () -> true);
        }
        return times;
    }

    private static long committed(Env e, String group, String topic) throws Exception {
        try {
            return e.admin().examineConsumeStats(group).getOffsetTable().get(new MessageQueue(topic, e.brokerName(), 0)).getConsumerOffset();
        } catch (MQClientException | NullPointerException notYet) {
            return -1; // nothing was committed yet
        }
    }

    static long awaitCommitted(Env e, String group, String topic, long n) throws Exception {
        e.until("a committed offset of " + n, () -> committed(e, group, topic) == n, () -> "" + committed(e, group, topic));
        return n;
    }

    /**
     * Waits until the broker has offsets that sum up to n over all queues. A client tells it with one-way requests, and what it
     * remembers or has said at its end may be read after the next consumer has asked.
     */
    static void awaitAllCommitted(Env e, String group, String topic, long n) throws Exception {
        long[] kept = {0};
        e.until("offsets of " + n + " at the broker", () -> {
            try {
                kept[0] = e.admin().examineConsumeStats(group, topic).getOffsetTable().values().stream()
                    .mapToLong(o -> Math.max(0, o.getConsumerOffset())).sum();
            } catch (MQClientException nothingCommittedYet) {
                kept[0] = 0;
            }
            return kept[0] == n;
        }, () -> "" + kept[0]);
    }

    private static void resetToTime(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        List<Long> times = stamps(e, p, topic, 10);
        Env.Inbox box = new Env.Inbox();
        e.push(group, topic, "*", box);
        e.until("ten messages", () -> box.size() == 10, () -> "" + box.size());
        awaitCommitted(e, group, topic, 10);
        var moved = e.admin().resetOffsetByTimestamp(topic, group, times.get(6), true);
        same(6L, moved.get(new MessageQueue(topic, e.brokerName(), 0)), "offset that the queue was moved to");
        e.until("four of them again", () -> box.size() == 14, () -> "" + box.size());
        List<String> again = new ArrayList<>(box.bodies().subList(10, 14));
        again.sort(null);
        same(List.of("m 6", "m 7", "m 8", "m 9"), again, "messages that came again");
        awaitCommitted(e, group, topic, 10);
    }

    private static void resetAhead(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(group, topic, "*");
        c.setConsumeMessageBatchMaxSize(1);
        c.registerMessageListener((MessageListenerOrderly) (ms, context) -> {
            box.add(ms);
            String body = new String(ms.get(0).getBody(), StandardCharsets.UTF_8);
            return body.startsWith("stuck") ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        e.send(p, topic, "read", 3);
        e.send(p, topic, "stuck", 5);
        e.until("the message that stops the queue", () -> box.bodies().contains("stuck 0"), () -> box.bodies().toString());
        awaitCommitted(e, group, topic, 3);
        MessageQueue queue = new MessageQueue(topic, e.brokerName(), 0);
        long later = System.currentTimeMillis() + 60_000;
        same(8L, e.admin().resetOffsetByTimestamp(topic, group, later, true).get(queue), "offset that the queue was moved to");
        List<String> after = e.send(p, topic, "after", 2);
        e.atLeast(after, box);
        Env.check(!box.bodies().contains("stuck 1"), "skipped messages came: " + box.bodies());
    }

    private static void resetQueue(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        Env.Inbox box = new Env.Inbox();
        e.push(group, topic, "*", box);
        e.send(p, topic, "m", 10);
        e.until("ten messages", () -> box.size() == 10, () -> "" + box.size());
        awaitCommitted(e, group, topic, 10);
        Versions.resetOffsetByQueueId(e.admin(), e.broker(), group, topic, 0, 7);
        e.until("three of them again", () -> box.size() >= 13, () -> "" + box.size());
        Env.check(box.bodies().subList(10, box.size()).containsAll(List.of("m 7", "m 8", "m 9")), "messages that came again: " + box.bodies());
        awaitCommitted(e, group, topic, 10);
    }

    private static void start(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        List<String> sent = e.send(p, topic, "m", 10);
        for (ConsumeFromWhere where : new ConsumeFromWhere[] {ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET,
            ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP}) {
            Env.Inbox box = new Env.Inbox();
            DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
            c.setConsumeFromWhere(where);
            c.setConsumeTimestamp("20380101000000");
            c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
                box.add(ms);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start();
            e.bodies(sent, box);
        }
    }
}
