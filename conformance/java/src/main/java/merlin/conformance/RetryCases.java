package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What happens to messages that were not consumed, and to those that must wait. */
final class RetryCases {
    private RetryCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("retry", "retry", "A message that failed comes again with its content and a higher count.", RetryCases::retry));
        cases.add(new Case("retry-dead-letter", "retry", "A message that failed too often goes to the dead letter topic.", RetryCases::dead));
        cases.add(new Case("retry-level", "retry", "Without a wish of the consumer the first retry comes after ten seconds.", RetryCases::level));
        cases.add(new Case("retry-null-exception", "retry", "A consumer that answers nothing, or throws, gets the message again.",
            RetryCases::nullAndException));
        cases.add(new Case("delay-level-clamped", "delay", "A delay level beyond the table is accepted, and the message is not there at once.",
            RetryCases::clamped));
        cases.add(new Case("delay-level", "delay", "A delayed message comes after its delay.", RetryCases::delay));
    }

    private static DefaultMQPushConsumer failing(Env e, String group, String topic, int times, Env.Inbox box) throws Exception {
        DefaultMQPushConsumer c = e.consumer(group, topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            if (ms.get(0).getReconsumeTimes() < times) {
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return c;
    }

    private static void retry(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        Env.Inbox box = new Env.Inbox();
        failing(e, e.group(), topic, 2, box).start();
        Message m = new Message(topic, "t", "k", "again".getBytes(StandardCharsets.UTF_8));
        m.putUserProperty("mine", "wert");
        long start = System.currentTimeMillis();
        SendResult r = accepted(p.send(m));
        e.until("three deliveries", () -> box.size() >= 3, () -> "" + box.size());
        check(System.currentTimeMillis() - start > 1900, "two retries of a second each took less");
        int i = 0;
        for (MessageExt got : box.messages()) {
            same(i++, got.getReconsumeTimes(), "reconsume count");
            same(topic, got.getTopic(), "topic");
            same("again", new String(got.getBody(), StandardCharsets.UTF_8), "body");
            same("t", got.getTags(), "tag");
            same("k", got.getKeys(), "keys");
            same("wert", got.getUserProperty("mine"), "property");
            same(r.getMsgId(), got.getMsgId(), "unique id");
        }
        e.steady(1500, "delivered again after success", () -> box.size() == 3);
    }

    private static void dead(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = failing(e, group, topic, 100, box);
        c.setMaxReconsumeTimes(2);
        c.start();
        SendResult r = accepted(p.send(new Message(topic, "t", "k", "hopeless".getBytes(StandardCharsets.UTF_8))));
        DefaultMQPullConsumer reader = e.configure(new DefaultMQPullConsumer(e.group()));
        e.after(reader::shutdown);
        reader.start();
        PullResult[] found = {null};
        e.until("the dead letter", () -> {
            try {
                MessageQueue q = reader.fetchSubscribeMessageQueues("%DLQ%" + group).iterator().next();
                found[0] = reader.pull(q, "*", 0, 1);
                return !found[0].getMsgFoundList().isEmpty();
            } catch (Exception notYet) {
                return false;
            }
        }, () -> box.size() + " deliveries");
        MessageExt got = found[0].getMsgFoundList().get(0);
        same("hopeless", new String(got.getBody(), StandardCharsets.UTF_8), "body");
        same("k", got.getKeys(), "keys");
        same(r.getMsgId(), got.getMsgId(), "unique id");
        same(3, box.size(), "deliveries");
        e.steady(1500, "delivered after it was given up", () -> box.size() == 3);
    }

    private static void delay(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        Map<String, Long> arrived = new ConcurrentHashMap<>();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            ms.forEach(m -> arrived.put(new String(m.getBody(), StandardCharsets.UTF_8), System.currentTimeMillis()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        int[][] levels = {{1, 1000}, {2, 5000}, {0, 0}};
        long start = System.currentTimeMillis();
        for (int[] l : levels) {
            Message m = message(topic, "level " + l[0]);
            m.setDelayTimeLevel(l[0]);
            accepted(p.send(m));
        }
        e.until("all three", () -> arrived.size() == 3, arrived::toString);
        for (int[] l : levels) {
            long took = arrived.get("level " + l[0]) - start;
            check(took >= l[1] - 50 && took < l[1] + 5000, "level " + l[0] + " came after " + took + " ms");
        }
    }

    private static void level(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        List<Long> times = new CopyOnWriteArrayList<>();
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            times.add(System.currentTimeMillis());
            box.add(ms);
            return ms.get(0).getReconsumeTimes() == 0 ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        accepted(p.send(message(topic, "m")));
        e.until("the retry", () -> box.size() == 2, () -> "" + box.size());
        long gap = times.get(1) - times.get(0);
        check(gap > 9900 && gap < 20_000, "the first retry came after " + gap + " ms");
    }

    private static void nullAndException(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            context.setDelayLevelWhenNextConsume(1);
            switch (ms.get(0).getReconsumeTimes()) {
                case 0:
                    return null;
                case 1:
                    throw new IllegalStateException("on purpose");
                default:
                    return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        });
        c.start();
        accepted(p.send(message(topic, "m")));
        e.until("three deliveries", () -> box.size() == 3, () -> "" + box.size());
        e.steady(1500, "delivered again after success", () -> box.size() == 3);
    }

    private static void clamped(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        Message m = message(topic, "much later");
        m.setDelayTimeLevel(99);
        accepted(p.send(m));
        MessageQueue q = p.fetchPublishMessageQueues(topic).get(0);
        e.steady(3000, "delivered before its time", () -> e.admin().maxOffset(q) == 0);
    }
}
