package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Several groups, several topics, and groups that broadcast. */
final class GroupCases {
    private GroupCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("consume-two-groups", "consume", "Two groups each get every message of a topic.", GroupCases::twoGroups));
        cases.add(new Case("consume-two-topics", "consume", "A consumer of two topics gets the messages of both, each by its own tags.",
            GroupCases::twoTopics));
        cases.add(new Case("consume-batch", "consume", "A listener that takes several messages at a time gets no more than it asked for, each once.",
            GroupCases::batch));
        cases.add(new Case("consume-member-joins", "consume", "When members join and leave a group no message is lost.", GroupCases::joins));
        cases.add(new Case("consume-more-members", "consume", "A member more than there are queues gets nothing, and takes over when another leaves.",
            GroupCases::moreMembers));
        cases.add(new Case("tags-groups", "consume", "Groups with different tags on one topic get the messages of theirs.", GroupCases::tagGroups));
        cases.add(new Case("tags-none", "consume", "A message without a tag reaches a consumer of all messages, and none of a tag.",
            GroupCases::noTag));
        cases.add(new Case("broadcast-joins", "broadcast", "A member that joins a broadcast group later gets what is sent from then on.",
            GroupCases::broadcastJoins));
        cases.add(new Case("order-tags", "order", "An ordered consumer of a tag gets the messages of that tag in their order.", GroupCases::orderTags));
        cases.add(new Case("order-rebalance", "order", "Each key stays in order while ordered members join and leave.", GroupCases::orderRebalance));
        cases.add(new Case("broadcast-restart", "broadcast", "A broadcast consumer that comes back goes on where its own file says.",
            GroupCases::broadcastRestart));
        cases.add(new Case("broadcast-no-retry", "broadcast", "A message that a broadcast consumer could not process does not come again.",
            GroupCases::broadcastNoRetry));
        cases.add(new Case("broadcast-tags", "broadcast", "Every member of a broadcast group gets the messages of its tags.", GroupCases::broadcastTags));
        cases.add(new Case("broadcast-orderly", "broadcast", "Every ordered member of a broadcast group gets each queue in its order.",
            GroupCases::broadcastOrderly));
        cases.add(new Case("sql-refused", "errors", "A broker that does not filter by properties refuses a consumer that asks for it.",
            GroupCases::sqlRefused));
    }

    private static DefaultMQPushConsumer listening(DefaultMQPushConsumer c, Env.Inbox box) {
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return c;
    }

    private static void send(DefaultMQProducer p, String topic, String tag, String body) throws Exception {
        accepted(p.send(new Message(topic, tag, body.getBytes(StandardCharsets.UTF_8))));
    }

    private static void twoGroups(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox a = new Env.Inbox();
        Env.Inbox b = new Env.Inbox();
        e.push(e.group(), topic, "*", a);
        List<String> sent = e.send(p, topic, "m", 20);
        e.bodies(sent, a);
        e.push(e.group(), topic, "*", b);
        e.bodies(sent, b);
        sent.addAll(e.send(p, topic, "more", 10));
        e.bodies(sent, a);
        e.bodies(sent, b);
    }

    private static void twoTopics(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String one = e.topic(p, 2);
        String two = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), one, "*");
        c.subscribe(two, "red");
        listening(c, box).start();
        List<String> want = e.send(p, one, "one", 10);
        for (int i = 0; i < 10; i++) {
            send(p, two, i % 2 == 0 ? "red" : "blue", "two " + i);
            if (i % 2 == 0) {
                want.add("two " + i);
            }
        }
        e.bodies(want, box);
        e.steady(500, "a message of another tag came", () -> box.size() == want.size());
    }

    private static void batch(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        List<Message> ms = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            ms.add(message(topic, "m " + i));
        }
        accepted(p.send(ms));
        List<Integer> sizes = new CopyOnWriteArrayList<>();
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.setConsumeMessageBatchMaxSize(8);
        c.registerMessageListener((MessageListenerConcurrently) (got, context) -> {
            sizes.add(got.size());
            box.add(got);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        List<String> want = new ArrayList<>();
        ms.forEach(m -> want.add(new String(m.getBody(), StandardCharsets.UTF_8)));
        e.bodies(want, box);
        check(sizes.stream().allMatch(n -> n <= 8) && sizes.contains(8), "messages at a time " + sizes);
    }

    private static void joins(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox(), new Env.Inbox()};
        List<String> sent = new ArrayList<>();
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        int[] round = {0};
        for (Env.Inbox box : boxes) {
            members.add(e.push(group, topic, "*", box));
            e.until("messages at the one that joined", () -> {
                sent.addAll(e.send(p, topic, "joining " + round[0]++, 8));
                e.atLeast(sent, boxes);
                return box.size() > 0;
            }, () -> "" + box.size());
        }
        members.get(0).shutdown();
        sent.addAll(e.send(p, topic, "one left", 16));
        members.get(2).shutdown();
        sent.addAll(e.send(p, topic, "two left", 16));
        e.atLeast(sent, boxes);
    }

    private static void moreMembers(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox()};
        DefaultMQPushConsumer[] members = {e.push(group, topic, "*", boxes[0]), e.push(group, topic, "*", boxes[1])};
        e.until("two members", () -> members(e, group) == 2, () -> "" + members(e, group));
        List<String> sent = new ArrayList<>();
        int[] round = {0};
        // Until both know of each other both may read the queue.
        e.until("messages at one of them", () -> {
            int before = boxes[0].size();
            int beforeB = boxes[1].size();
            List<String> now = e.send(p, topic, "round " + round[0]++, 4);
            sent.addAll(now);
            e.atLeast(sent, boxes);
            e.steady(1200, "", () -> true);
            return boxes[0].size() == before || boxes[1].size() == beforeB;
        }, () -> boxes[0].size() + " and " + boxes[1].size());
        int reader = boxes[0].bodies().contains("round " + (round[0] - 1) + " 3") ? 0 : 1;
        members[reader].shutdown();
        List<String> after = e.send(p, topic, "after", 6);
        e.atLeast(after, boxes[1 - reader]);
    }

    private static int members(Env e, String group) {
        try {
            return e.admin().examineConsumerConnectionInfo(group).getConnectionSet().size();
        } catch (Exception none) {
            return 0;
        }
    }

    private static void tagGroups(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox red = new Env.Inbox();
        Env.Inbox both = new Env.Inbox();
        Env.Inbox all = new Env.Inbox();
        e.push(e.group(), topic, "red", red);
        e.push(e.group(), topic, "red || blue", both);
        e.push(e.group(), topic, "*", all);
        List<String> reds = new ArrayList<>();
        List<String> blues = new ArrayList<>();
        List<String> every = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            String tag = Arrays.asList("red", "blue", "green").get(i % 3);
            String body = tag + " " + i;
            send(p, topic, tag, body);
            every.add(body);
            if (i % 3 == 0) {
                reds.add(body);
            }
            if (i % 3 < 2) {
                blues.add(body);
            }
        }
        e.bodies(every, all);
        e.bodies(blues, both);
        e.bodies(reds, red);
        e.steady(500, "a message of another tag came", () -> red.size() == reds.size() && both.size() == blues.size());
    }

    private static DefaultMQPushConsumer orderly(DefaultMQPushConsumer c, Env.Inbox... boxes) {
        c.registerMessageListener((MessageListenerOrderly) (ms, context) -> {
            for (Env.Inbox box : boxes) {
                box.add(ms);
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        return c;
    }

    private static void orderTags(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        List<List<String>> want = Arrays.asList(new ArrayList<>(), new ArrayList<>());
        for (int i = 0; i < 40; i++) {
            String body = "queue " + i % 2 + " message " + i;
            boolean red = i / 2 % 2 == 0;
            Message m = new Message(topic, red ? "red" : "blue", body.getBytes(StandardCharsets.UTF_8));
            accepted(p.send(m, (mqs, x, arg) -> Env.list(mqs).get((Integer) arg), i % 2));
            if (red) {
                want.get(i % 2).add(body);
            }
        }
        Env.Inbox box = new Env.Inbox();
        orderly(e.consumer(e.group(), topic, "red"), box).start();
        e.until("twenty messages", () -> box.size() == 20, () -> "" + box.size());
        for (int q = 0; q < 2; q++) {
            String prefix = "queue " + q + " ";
            List<String> got = box.bodies();
            got.removeIf(b -> !b.startsWith(prefix));
            same(want.get(q), got, "messages of queue " + q);
        }
    }

    private static void orderRebalance(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        String group = e.group();
        Env.Inbox all = new Env.Inbox();
        List<String> sent = new ArrayList<>();
        List<DefaultMQPushConsumer> members = new ArrayList<>();
        int[] next = {0};
        for (int member = 0; member < 3; member++) {
            Env.Inbox own = new Env.Inbox();
            DefaultMQPushConsumer c = orderly(e.consumer(group, topic, "*"), all, own);
            c.start();
            members.add(c);
            e.until("messages at the one that joined", () -> {
                sent.addAll(keyed(p, topic, next));
                e.atLeast(sent, all);
                return own.size() > 0;
            }, () -> "" + own.size());
        }
        for (int member = 0; member < 2; member++) {
            members.get(member).shutdown();
            sent.addAll(keyed(p, topic, next));
        }
        e.atLeast(sent, all);
        for (int k = 0; k < 4; k++) {
            String prefix = "key " + k + " ";
            List<String> want = new ArrayList<>(sent);
            want.removeIf(b -> !b.startsWith(prefix));
            // A queue that changed hands may repeat what was not committed yet.
            List<String> got = new ArrayList<>(new java.util.LinkedHashSet<>(all.bodies()));
            got.removeIf(b -> !b.startsWith(prefix));
            same(want, got, "messages of key " + k);
        }
    }

    private static List<String> keyed(DefaultMQProducer p, String topic, int[] next) throws Exception {
        List<String> sent = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            String body = "key " + i % 4 + " message " + next[0]++;
            accepted(p.send(message(topic, body), (mqs, m, arg) -> Env.list(mqs).get((Integer) arg), i % 4));
            sent.add(body);
        }
        return sent;
    }

    private static DefaultMQPushConsumer broadcasting(Env e, String group, String topic, String expression) throws Exception {
        DefaultMQPushConsumer c = e.consumer(group, topic, expression);
        Versions.broadcasting(c);
        return c;
    }

    private static void broadcastRestart(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        String instance = e.name("i");
        Env.Inbox first = new Env.Inbox();
        DefaultMQPushConsumer c = listening(broadcasting(e, group, topic, "*"), first);
        c.setInstanceName(instance);
        c.start();
        e.bodies(e.send(p, topic, "first", 10), first);
        c.shutdown();
        List<String> between = e.send(p, topic, "between", 6);
        Env.Inbox second = new Env.Inbox();
        DefaultMQPushConsumer again = listening(broadcasting(e, group, topic, "*"), second);
        again.setInstanceName(instance);
        again.start();
        e.bodies(between, second);
        e.steady(500, "old messages came again", () -> second.size() == between.size());
    }

    private static void broadcastNoRetry(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = broadcasting(e, e.group(), topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        c.start();
        List<String> sent = e.send(p, topic, "m", 4);
        e.bodies(sent, box);
        e.steady(3000, "a message came again", () -> box.size() == sent.size());
    }

    private static void broadcastTags(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox()};
        for (Env.Inbox box : boxes) {
            listening(broadcasting(e, group, topic, "red"), box).start();
        }
        List<String> want = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            send(p, topic, i % 2 == 0 ? "red" : "blue", "m " + i);
            if (i % 2 == 0) {
                want.add("m " + i);
            }
        }
        for (Env.Inbox box : boxes) {
            e.bodies(want, box);
        }
        e.steady(500, "a message of another tag came", () -> boxes[0].size() == 5 && boxes[1].size() == 5);
    }

    private static void broadcastOrderly(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        Env.Inbox[] boxes = {new Env.Inbox(), new Env.Inbox()};
        for (Env.Inbox box : boxes) {
            orderly(broadcasting(e, group, topic, "*"), box).start();
        }
        List<String> sent = e.send(p, topic, "m", 20);
        for (Env.Inbox box : boxes) {
            e.bodies(sent, box);
            for (int q = 0; q < 2; q++) {
                long last = -1;
                for (MessageExt m : box.messages()) {
                    if (m.getQueueId() == q) {
                        check(m.getQueueOffset() > last, "offset " + m.getQueueOffset() + " after " + last + " in queue " + q);
                        last = m.getQueueOffset();
                    }
                }
            }
        }
    }

    private static void sqlRefused(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        DefaultMQPushConsumer c = listening(e.configure(new DefaultMQPushConsumer(e.group())), new Env.Inbox());
        c.subscribe(topic, MessageSelector.bySql("a > 1"));
        e.after(c::shutdown);
        try {
            c.start();
        } catch (MQClientException refused) {
            Throwable cause = refused.getCause() == null ? refused : refused.getCause();
            String said = cause instanceof MQBrokerException ? ((MQBrokerException) cause).getErrorMessage() : cause.toString();
            check(said.contains("does not support consumer to filter message by SQL92"), "refused with " + said);
            return;
        }
        throw new AssertionError("accepted");
    }

    private static void noTag(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox all = new Env.Inbox();
        Env.Inbox nothing = new Env.Inbox();
        Env.Inbox red = new Env.Inbox();
        e.push(e.group(), topic, "*", all);
        e.push(e.group(), topic, null, nothing); // no expression means all
        e.push(e.group(), topic, "red", red);
        List<String> sent = e.send(p, topic, "plain", 6);
        send(p, topic, "red", "a red one");
        sent.add("a red one");
        e.bodies(sent, all);
        e.bodies(sent, nothing);
        e.bodies(Arrays.asList("a red one"), red);
        e.steady(500, "a message without a tag came", () -> red.size() == 1);
    }

    private static void broadcastJoins(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        Env.Inbox first = new Env.Inbox();
        listening(broadcasting(e, group, topic, "*"), first).start();
        List<String> sent = e.send(p, topic, "before", 6);
        e.bodies(sent, first);
        Env.Inbox second = new Env.Inbox();
        DefaultMQPushConsumer late = listening(broadcasting(e, group, topic, "*"), second);
        late.setConsumeFromWhere(org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        late.start();
        int[] round = {0};
        e.until("messages of both queues at the one that joined", () -> {
            sent.addAll(e.send(p, topic, "joining " + round[0]++, 2));
            e.steady(200, "", () -> true);
            Set<Integer> queues = new HashSet<>();
            second.messages().forEach(m -> queues.add(m.getQueueId()));
            return queues.size() == 2;
        }, () -> second.bodies().toString());
        int before = second.size();
        List<String> after = e.send(p, topic, "after", 10);
        sent.addAll(after);
        e.atLeast(after, second);
        e.bodies(sent, first);
        check(second.size() >= before + 10 && second.bodies().stream().noneMatch(b -> b.startsWith("before")), "bodies " + second.bodies());
    }
}
