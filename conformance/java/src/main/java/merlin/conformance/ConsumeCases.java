package merlin.conformance;

import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Push consumers. */
final class ConsumeCases {
    private ConsumeCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("consume-cluster", "consume", "Two members of a group share the queues of a topic, each message goes to one.",
            ConsumeCases::cluster));
        cases.add(new Case("consume-member-killed", "consume", "When a member is killed the other takes over its queues.",
            ConsumeCases::killed));
        cases.add(new Case("consume-orderly", "order", "Messages of one key are consumed in the order in which they were sent.",
            ConsumeCases::orderly));
        cases.add(new Case("consume-orderly-suspend", "order", "An ordered consumer gets a message that it was not done with again first.",
            ConsumeCases::suspend));
        cases.add(new Case("consume-orderly-two", "order", "Two ordered members share the queues by locks, each key stays in order.",
            ConsumeCases::orderlyTwo));
        cases.add(new Case("broadcast", "broadcast", "In broadcast mode every member gets every message.", ConsumeCases::broadcast));
        cases.add(new Case("tags", "consume", "A tag expression selects the messages of its tags.", ConsumeCases::tags));
        cases.add(new Case("offset-client-restart", "offset", "A group that comes back goes on where it was.", ConsumeCases::restart));
        cases.add(new Case("consume-many-threads", "consume", "Sixty-four consuming threads get every message once.", ConsumeCases::threads));
    }

    private static Set<Integer> queues(List<MessageExt> ms) {
        Set<Integer> s = new HashSet<>();
        ms.forEach(m -> s.add(m.getQueueId()));
        return s;
    }

    private static void cluster(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox a = new Env.Inbox();
        Env.Inbox b = new Env.Inbox();
        e.push(group, topic, "*", a);
        DefaultMQPushConsumer second = e.push(group, topic, "*", b);
        List<String> sent = new ArrayList<>();
        int[] round = {0};
        e.until("both members with two queues each", () -> {
            int fromA = a.size();
            int fromB = b.size();
            sent.addAll(e.send(p, topic, "round " + round[0]++, 8));
            e.atLeast(sent, a, b);
            return queues(a.messages().subList(fromA, a.size())).size() == 2
                && queues(b.messages().subList(fromB, b.size())).size() == 2;
        }, () -> queues(a.messages()) + " and " + queues(b.messages()));
        int fromA = a.size();
        int fromB = b.size();
        List<String> shared = e.send(p, topic, "shared", 40);
        e.until("40 messages", () -> a.size() - fromA + b.size() - fromB >= 40, () -> a.size() - fromA + " + " + (b.size() - fromB));
        e.steady(300, "a message came twice", () -> a.size() - fromA + b.size() - fromB == 40);
        Set<Integer> both = queues(a.messages().subList(fromA, a.size()));
        both.retainAll(queues(b.messages().subList(fromB, b.size())));
        same(new HashSet<Integer>(), both, "queues of both members");
        sent.addAll(shared);
        second.shutdown();
        int left = a.size();
        sent.addAll(e.send(p, topic, "after", 16));
        e.atLeast(sent, a, b);
        same(4, queues(a.messages().subList(left, a.size())).size(), "queues of the one that stayed");
    }

    private static void killed(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox a = new Env.Inbox();
        e.push(group, topic, "*", a);
        Child child = new Child(e, group, topic);
        List<String> sent = new ArrayList<>();
        int[] round = {0};
        e.until("messages at the child", () -> {
            sent.addAll(e.send(p, topic, "round " + round[0]++, 4));
            e.steady(100, "", () -> true);
            return child.seen().size() >= 4;
        }, () -> child.seen().toString());
        child.kill();
        List<String> more = e.send(p, topic, "after", 20);
        sent.addAll(more);
        e.until("every message somewhere", () -> {
            Set<String> got = new HashSet<>(a.bodies());
            got.addAll(child.seen());
            return got.containsAll(sent);
        }, () -> {
            List<String> got = a.bodies();
            got.addAll(child.seen());
            return Env.difference(sent, got);
        });
        List<String> late = e.send(p, topic, "late", 8);
        e.atLeast(late, a);
        same(4, queues(a.messages().subList(a.size() - 8, a.size())).size(), "queues of the one that lives");
    }

    private static List<List<String>> sendKeyed(DefaultMQProducer p, String topic, int keys, int n, int from) throws Exception {
        MessageQueueSelector byKey = (mqs, m, key) -> {
            List<MessageQueue> sorted = Env.list(mqs);
            return sorted.get((Integer) key % sorted.size());
        };
        List<List<String>> sent = new ArrayList<>();
        for (int k = 0; k < keys; k++) {
            sent.add(new ArrayList<>());
        }
        for (int i = from; i < from + n; i++) {
            for (int k = 0; k < keys; k++) {
                String body = "key " + k + " message " + i;
                Env.accepted(p.send(message(topic, body), byKey, k));
                sent.get(k).add(body);
            }
        }
        return sent;
    }

    private static void orderly(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        List<List<String>> sent = sendKeyed(p, topic, 6, 15, 0);
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.registerMessageListener((MessageListenerOrderly) (ms, context) -> {
            box.add(ms);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        e.until("90 messages", () -> box.size() == 90, () -> "" + box.size());
        for (int k = 0; k < sent.size(); k++) {
            List<String> got = new ArrayList<>(box.bodies());
            String prefix = "key " + k + " ";
            got.removeIf(b -> !b.startsWith(prefix));
            same(sent.get(k), got, "messages of key " + k);
        }
    }

    private static void orderlyTwo(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox both = new Env.Inbox();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox()};
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        for (Env.Inbox box : boxes) {
            DefaultMQPushConsumer c = e.consumer(group, topic, "*");
            c.registerMessageListener((MessageListenerOrderly) (ms, context) -> {
                both.add(ms);
                box.add(ms);
                return ConsumeOrderlyStatus.SUCCESS;
            });
            c.start();
            members.add(c);
        }
        List<List<String>> sent = new ArrayList<>();
        e.until("messages at both members", () -> {
            List<List<String>> more = sendKeyed(p, topic, 8, 5, sent.isEmpty() ? 0 : sent.get(0).size());
            for (int k = 0; k < more.size(); k++) {
                if (sent.size() <= k) {
                    sent.add(new ArrayList<>());
                }
                sent.get(k).addAll(more.get(k));
            }
            List<String> all = new ArrayList<>();
            sent.forEach(all::addAll);
            e.atLeast(all, both);
            return boxes[0].size() > 0 && boxes[1].size() > 0;
        }, () -> boxes[0].size() + " and " + boxes[1].size());
        members.get(1).shutdown();
        List<List<String>> rest = sendKeyed(p, topic, 8, 5, 1000);
        List<String> all = new ArrayList<>();
        rest.forEach(all::addAll);
        e.atLeast(all, both);
        for (int k = 0; k < sent.size(); k++) {
            sent.get(k).addAll(rest.get(k));
            String prefix = "key " + k + " ";
            // At least once: a queue that changed hands may repeat what was not committed yet.
            List<String> got = new ArrayList<>(new java.util.LinkedHashSet<>(both.bodies()));
            got.removeIf(b -> !b.startsWith(prefix));
            same(sent.get(k), got, "messages of key " + k);
        }
    }

    private static void suspend(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        List<String> sent = sendKeyed(p, topic, 1, 10, 0).get(0);
        Env.Inbox box = new Env.Inbox();
        AtomicInteger refused = new AtomicInteger();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.setConsumeMessageBatchMaxSize(1);
        c.registerMessageListener((MessageListenerOrderly) (ms, context) -> {
            box.add(ms);
            String body = new String(ms.get(0).getBody(), StandardCharsets.UTF_8);
            if (body.equals(sent.get(4)) && refused.getAndIncrement() < 2) {
                context.setSuspendCurrentQueueTimeMillis(100);
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        List<String> want = new ArrayList<>(sent.subList(0, 5));
        want.addAll(Arrays.asList(sent.get(4), sent.get(4)));
        want.addAll(sent.subList(5, 10));
        e.until("all messages", () -> box.size() >= want.size(), () -> box.bodies().toString());
        same(want, box.bodies(), "messages in order, the fifth three times");
    }

    private static void broadcast(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox()};
        for (Env.Inbox box : boxes) {
            DefaultMQPushConsumer c = e.consumer(group, topic, "*");
            Versions.broadcasting(c);
            c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
                box.add(ms);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            c.start();
        }
        List<String> sent = e.send(p, topic, "all", 20);
        e.bodies(sent, boxes[0]);
        e.bodies(sent, boxes[1]);
    }

    private static void tags(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        List<String> want = new ArrayList<>();
        // "AaAa" and "BBBB" have one hash code: a server that compares hash codes only sends both.
        for (String tag : new String[] {"red", "green", "blue", "AaAa", "BBBB", "红", "reddish", "red"}) {
            String body = tag + want.size();
            Env.accepted(p.send(new org.apache.rocketmq.common.message.Message(topic, tag, body.getBytes(StandardCharsets.UTF_8))));
            if (Arrays.asList("red", "AaAa", "红").contains(tag)) {
                want.add(body);
            }
        }
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "red || AaAa||红", box);
        e.bodies(want, box);
        e.steady(500, "a message of another tag came: " + box.bodies(), () -> box.size() == want.size());
    }

    private static void restart(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        Env.Inbox a = new Env.Inbox();
        List<String> first = e.send(p, topic, "first", 20);
        DefaultMQPushConsumer c = e.push(group, topic, "*", a);
        e.bodies(first, a);
        // The listener has them, but the client notes a message as done after that, and an end does not wait for it.
        OffsetCases.awaitAllCommitted(e, group, topic, 20);
        c.shutdown();
        List<String> rest = e.send(p, topic, "between", 10);
        Env.Inbox b = new Env.Inbox();
        e.push(group, topic, "*", b);
        rest.addAll(e.send(p, topic, "after", 10));
        e.bodies(rest, b);
        e.steady(500, "old messages came again", () -> b.size() == 20);
        check(a.size() == 20, "the first consumer got " + a.size());
    }

    private static void threads(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        List<String> sent = e.send(p, topic, "m", 200);
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.setConsumeThreadMax(64);
        c.setConsumeThreadMin(64);
        c.setConsumeMessageBatchMaxSize(16);
        c.setPullBatchSize(64);
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        e.bodies(sent, box);
    }
}
