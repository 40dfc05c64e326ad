package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Sending, and finding what was sent. */
final class SendCases {
    private SendCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("send-sync", "send", "A synchronous send is answered with ids and the next offset of its queue.",
            SendCases::sync));
        cases.add(new Case("send-async", "send", "An asynchronous send calls back once with its result.", SendCases::async));
        cases.add(new Case("send-oneway", "send", "A one-way send is stored.", SendCases::oneway));
        cases.add(new Case("send-batch", "send", "A batch is stored as separate messages in one queue.", SendCases::batch));
        cases.add(new Case("send-content", "send", "Keys, tags, properties and bodies of any content arrive as sent.",
            SendCases::content));
        cases.add(new Case("send-compressed", "send", "A compressed body arrives whole.", SendCases::compressed));
        cases.add(new Case("send-illegal-queue", "errors", "A queue that the topic has not got is refused.", SendCases::illegalQueue));
        cases.add(new Case("query-id", "query", "A message is found by its offset message id and by its unique id.", SendCases::byId));
        cases.add(new Case("query-key", "query", "Messages are found by key within a time range.", SendCases::byKey));
        cases.add(new Case("send-vip", "send", "A client that uses the VIP channel sends through the broker's fast port.",
            SendCases::vip));
        cases.add(new Case("send-sizes", "send", "Bodies from one byte to the client's limit of 4 MiB arrive as they were sent.", SendCases::sizes));
        cases.add(new Case("send-unit", "send", "Producers and consumers of a unit work as any others.", SendCases::unit));
        cases.add(new Case("send-oneway-selector", "send", "A one-way send goes to the queue that was named or selected.", SendCases::onewayTo));
        cases.add(new Case("send-async-selector", "send", "An asynchronous send goes to the queue that was named or selected.",
            SendCases::asyncTo));
        cases.add(new Case("query-time", "query", "A query by key answers the messages that were stored within its times.",
            SendCases::byTime));
        cases.add(new Case("query-key-max", "query", "A query answers no more messages than it asks for.", SendCases::byKeyMax));
        cases.add(new Case("query-key-hash", "query", "Keys that share a hash code are told apart.", SendCases::byKeyHash));
        cases.add(new Case("query-id-unknown", "query", "An id of no message is refused by its place in the log, and finds nothing by its text.",
            SendCases::byUnknownId));
        cases.add(new Case("send-namespace", "send", "A client with a namespace sends and consumes under it.", SendCases::namespace));
    }

    private static void sync(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        Map<Integer, Long> next = new HashMap<>();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            SendResult r = accepted(p.send(message(topic, "m " + i)));
            int q = r.getMessageQueue().getQueueId();
            same(next.getOrDefault(q, 0L), r.getQueueOffset(), "offset in queue " + q);
            next.put(q, r.getQueueOffset() + 1);
            check(r.getMsgId() != null && r.getOffsetMsgId().length() == 32, "ids " + r);
            bodies.add("m " + i);
        }
        same(4, next.size(), "queues that got messages");
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
    }

    private static void async(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        int n = 30;
        CountDownLatch left = new CountDownLatch(n);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            bodies.add("m " + i);
            p.send(message(topic, "m " + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult r) {
                    left.countDown();
                }

                @Override
                public void onException(Throwable t) {
                    failure.set(t);
                    left.countDown();
                }
            });
        }
        check(left.await(30, TimeUnit.SECONDS), left.getCount() + " callbacks are missing");
        check(failure.get() == null, "a callback failed: " + failure.get());
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
    }

    private static void oneway(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            p.sendOneway(message(topic, "m " + i));
            bodies.add("m " + i);
        }
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
    }

    private static void batch(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        List<Message> ms = new ArrayList<>();
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            Message m = new Message(topic, "tag" + i % 2, "key" + i, ("m " + i).getBytes(StandardCharsets.UTF_8));
            ms.add(m);
            bodies.add("m " + i);
        }
        SendResult r = accepted(p.send(ms));
        same(10, r.getMsgId().split(",").length, "ids in " + r.getMsgId());
        same(10, r.getOffsetMsgId().split(",").length, "offset ids in " + r.getOffsetMsgId());
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
        for (MessageExt m : box.messages()) {
            same(r.getMessageQueue().getQueueId(), m.getQueueId(), "queue");
            int i = (int) (m.getQueueOffset() - r.getQueueOffset());
            same("key" + i, m.getKeys(), "keys at offset " + m.getQueueOffset());
            same(r.getOffsetMsgId().split(",")[i], ((MessageClientExt) m).getOffsetMsgId(), "id at offset " + m.getQueueOffset());
        }
        Env.Inbox half = new Env.Inbox();
        e.push(e.group(), topic, "tag1", half);
        e.bodies(Arrays.asList("m 1", "m 3", "m 5", "m 7", "m 9"), half);
    }

    private static void content(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        byte[] body = {0, 1, -1, -2, '"', '\\', '\n', 0};
        Message m = new Message(topic, "标签", "ключ 🔑", body);
        m.putUserProperty("名字", "消息 \"队列\" \\ 👩‍🚀");
        m.putUserProperty("json", "{\"a\":[1,2]}");
        m.setFlag(7);
        p.send(new Message(topic, "other", "no".getBytes(StandardCharsets.UTF_8)));
        SendResult r = accepted(p.send(m));
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "标签 || nothing", box);
        e.until("the message by its tag", () -> box.size() == 1, () -> "" + box.size());
        MessageExt got = box.messages().get(0);
        check(Arrays.equals(body, got.getBody()), "body " + Arrays.toString(got.getBody()));
        same("标签", got.getTags(), "tag");
        same("ключ 🔑", got.getKeys(), "keys");
        same(m.getUserProperty("名字"), got.getUserProperty("名字"), "property");
        same(m.getUserProperty("json"), got.getUserProperty("json"), "property");
        same(7, got.getFlag(), "flag");
        same(r.getMsgId(), got.getMsgId(), "unique id");
        same(topic, got.getTopic(), "topic");
        check(got.getBornTimestamp() <= System.currentTimeMillis() && got.getStoreTimestamp() > 0, "times of " + got);
        check(got.getBornHost() != null && got.getStoreHost() != null, "hosts of " + got);
    }

    private static void compressed(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        byte[] body = "say it again ".repeat(20000).getBytes(StandardCharsets.UTF_8);
        accepted(p.send(new Message(topic, body)));
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.until("the message", () -> box.size() == 1, () -> "" + box.size());
        MessageExt got = box.messages().get(0);
        check(Arrays.equals(body, got.getBody()), "body of " + got.getBody().length + " bytes");
        check(got.getStoreSize() < body.length / 10, "stored in " + got.getStoreSize() + " bytes");
    }

    private static void illegalQueue(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        MessageQueue queue = p.fetchPublishMessageQueues(topic).get(0);
        try {
            p.send(message(topic, "x"), new MessageQueue(topic, queue.getBrokerName(), 2));
        } catch (MQBrokerException x) {
            same(29, x.getResponseCode(), "code");
            check(x.getErrorMessage().contains("request queueId[2] is illegal, TopicConfig [topicName=" + topic
                + ", readQueueNums=2, writeQueueNums=2, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false"),
                "remark " + x.getErrorMessage());
            return;
        }
        throw new AssertionError("accepted");
    }

    private static void byId(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        SendResult r = accepted(p.send(new Message(topic, "t", "k", "find me".getBytes(StandardCharsets.UTF_8))));
        MessageExt byOffset = p.viewMessage(topic, r.getOffsetMsgId());
        same("find me", new String(byOffset.getBody(), StandardCharsets.UTF_8), "body by offset id");
        same(r.getQueueOffset(), byOffset.getQueueOffset(), "queue offset by offset id");
        e.until("the message by its unique id", () -> {
            try {
                return p.viewMessage(topic, r.getMsgId()).getQueueOffset() == r.getQueueOffset();
            } catch (Exception x) {
                return false;
            }
        }, () -> "not found");
    }

    private static void byKey(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        long begin = System.currentTimeMillis() - 60_000;
        for (int i = 0; i < 6; i++) {
            accepted(p.send(new Message(topic, "t", "one" + i % 2 + " two" + i, ("m " + i).getBytes(StandardCharsets.UTF_8))));
        }
        long end = System.currentTimeMillis() + 60_000;
        e.until("three messages of one key", () -> keyed(p, topic, "one1", begin, end).equals(Arrays.asList("m 1", "m 3", "m 5")),
            () -> keyed(p, topic, "one1", begin, end).toString());
        same(Arrays.asList("m 4"), keyed(p, topic, "two4", begin, end), "messages of a second key");
        same(new ArrayList<String>(), keyed(p, topic, "one", begin, end), "messages of a part of a key");
        same(new ArrayList<String>(), keyed(p, topic, "one1", begin - 120_000, begin), "messages of an earlier time");
    }

    private static List<String> keyed(DefaultMQProducer p, String topic, String key, long begin, long end) {
        List<String> out = new ArrayList<>();
        try {
            QueryResult r = p.queryMessage(topic, key, 32, begin, end);
            for (MessageExt m : r.getMessageList()) {
                out.add(new String(m.getBody(), StandardCharsets.UTF_8));
            }
        } catch (Exception nothing) {
            // the client throws when no broker has any
        }
        out.sort(null);
        return out;
    }

    private static void vip(Env e) throws Exception {
        DefaultMQProducer p = e.configure(new DefaultMQProducer(e.name("p")));
        p.setVipChannelEnabled(true);
        e.start(p);
        String topic = e.topic(e.producer(), 2);
        List<String> bodies = e.send(p, topic, "vip", 10);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
    }

    @SuppressWarnings("deprecation")
    private static void namespace(Env e) throws Exception {
        DefaultMQProducer plain = e.producer();
        DefaultMQProducer p = e.configure(new DefaultMQProducer(e.name("p")));
        p.setNamespace("space");
        e.start(p);
        String topic = e.name("t");
        e.dropTopic("space%" + topic);
        List<String> bodies = e.send(p, topic, "in space", 10);
        e.until("the topic under its namespace", () -> plain.fetchPublishMessageQueues("space%" + topic).size() == 4, () -> "no route");
        Env.Inbox box = new Env.Inbox();
        String group = e.name("g");
        e.dropGroup("space%" + group);
        org.apache.rocketmq.client.consumer.DefaultMQPushConsumer c = e.configure(
            new org.apache.rocketmq.client.consumer.DefaultMQPushConsumer(group));
        c.setNamespace("space");
        c.setConsumeFromWhere(org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(topic, "*");
        c.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        e.after(c::shutdown);
        c.start();
        e.bodies(bodies, box);
        same(topic, box.messages().get(0).getTopic(), "topic without its namespace");
    }

    private static void sizes(Env e) throws Exception {
        DefaultMQProducer p = e.configure(new DefaultMQProducer(e.name("p")));
        p.setCompressMsgBodyOverHowmuch(64 << 20);
        e.start(p);
        String topic = e.topic(p, 1);
        Map<Integer, byte[]> sent = new HashMap<>();
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        for (int size : new int[] {1, 100, 4096, 65_535, 1 << 20, p.getMaxMessageSize()}) {
            byte[] body = new byte[size];
            new java.util.Random(size).nextBytes(body);
            sent.put(size, body);
            accepted(p.send(new Message(topic, body)));
        }
        e.until("all sizes", () -> box.size() == sent.size(), () -> "" + box.size());
        for (MessageExt m : box.messages()) {
            check(Arrays.equals(sent.get(m.getBody().length), m.getBody()), "body of " + m.getBody().length + " bytes");
        }
    }

    private static void unit(Env e) throws Exception {
        DefaultMQProducer plain = e.producer();
        String topic = e.topic(plain, 2);
        DefaultMQProducer p = e.configure(new DefaultMQProducer(e.name("p")));
        p.setUnitName("unit-1");
        p.setUnitMode(true);
        e.start(p);
        Env.Inbox box = new Env.Inbox();
        var c = e.consumer(e.group(), topic, "*");
        c.setUnitName("unit-1");
        c.setUnitMode(true);
        c.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        List<String> bodies = e.send(p, topic, "in a unit", 6);
        bodies.addAll(e.send(plain, topic, "outside", 6));
        e.bodies(bodies, box);
    }

    private static void onewayTo(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        MessageQueue queue = Env.list(p.fetchPublishMessageQueues(topic)).get(2);
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            p.sendOneway(message(topic, "named " + i), queue);
            p.sendOneway(message(topic, "selected " + i), (mqs, m, arg) -> Env.list(mqs).get((Integer) arg), 2);
            bodies.addAll(Arrays.asList("named " + i, "selected " + i));
        }
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
        check(box.messages().stream().allMatch(m -> m.getQueueId() == 2), "queues");
    }

    private static void asyncTo(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 4);
        MessageQueue queue = Env.list(p.fetchPublishMessageQueues(topic)).get(1);
        List<String> bodies = new ArrayList<>();
        CountDownLatch left = new CountDownLatch(20);
        java.util.Queue<Object> answers = new java.util.concurrent.ConcurrentLinkedQueue<>();
        SendCallback callback = new SendCallback() {
            @Override
            public void onSuccess(SendResult r) {
                answers.add(r.getMessageQueue());
                left.countDown();
            }

            @Override
            public void onException(Throwable t) {
                answers.add(t);
                left.countDown();
            }
        };
        for (int i = 0; i < 10; i++) {
            p.send(message(topic, "named " + i), queue, callback);
            p.send(message(topic, "selected " + i), (mqs, m, arg) -> Env.list(mqs).get((Integer) arg), 1, callback);
            bodies.addAll(Arrays.asList("named " + i, "selected " + i));
        }
        check(left.await(30, TimeUnit.SECONDS), left.getCount() + " callbacks are missing");
        for (Object a : answers) {
            same(queue, a, "queue of an answer");
        }
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(bodies, box);
        check(box.messages().stream().allMatch(m -> m.getQueueId() == 1), "queues");
    }

    private static void byTime(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        long[] times = new long[2];
        for (int i = 0; i < 2; i++) {
            SendResult r = accepted(p.send(new Message(topic, "t", "key", ("m " + i).getBytes(StandardCharsets.UTF_8))));
            times[i] = p.viewMessage(topic, r.getOffsetMsgId()).getStoreTimestamp();
            if (i == 0) {
                e.steady(4000, "", () -> true);
            }
        }
        // The index keeps whole seconds, rounded down.
        e.until("both", () -> keyed(p, topic, "key", times[0] - 1500, times[1] + 500).size() == 2,
            () -> keyed(p, topic, "key", times[0] - 1500, times[1] + 500).toString());
        same(Arrays.asList("m 0"), keyed(p, topic, "key", times[0] - 1500, times[0] + 500), "messages of the first time");
        same(Arrays.asList("m 1"), keyed(p, topic, "key", times[1] - 1500, times[1] + 500), "messages of the second time");
        same(new ArrayList<String>(), keyed(p, topic, "key", times[0] + 500, times[1] - 1500), "messages between them");
    }

    private static void byUnknownId(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        SendResult r = accepted(p.send(message(topic, "m")));
        String id = r.getOffsetMsgId();
        String beyond = id.substring(0, 16) + "00007FFFFFFFFFFF";
        for (String unknown : new String[] {beyond, r.getMsgId().substring(0, 31) + (r.getMsgId().endsWith("0") ? "1" : "0")}) {
            MessageExt found;
            try {
                found = p.viewMessage(topic, unknown);
            } catch (Exception expected) {
                continue;
            }
            check(found == null, "found " + found);
        }
    }

    private static void byKeyMax(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        for (int i = 0; i < 12; i++) {
            accepted(p.send(new Message(topic, "t", "key", ("m " + i).getBytes(StandardCharsets.UTF_8))));
        }
        long now = System.currentTimeMillis();
        e.until("all twelve", () -> keyed(p, topic, "key", now - 60_000, now + 60_000).size() == 12,
            () -> keyed(p, topic, "key", now - 60_000, now + 60_000).toString());
        same(5, p.queryMessage(topic, "key", 5, now - 60_000, now + 60_000).getMessageList().size(), "messages of a query for five");
    }

    private static void byKeyHash(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        for (String key : new String[] {"AaAa", "BBBB", "AaBB", "AaAa"}) {
            accepted(p.send(new Message(topic, "t", key, key.getBytes(StandardCharsets.UTF_8))));
        }
        long begin = System.currentTimeMillis() - 60_000;
        long end = begin + 120_000;
        e.until("both messages of a key", () -> keyed(p, topic, "AaAa", begin, end).equals(Arrays.asList("AaAa", "AaAa")),
            () -> keyed(p, topic, "AaAa", begin, end).toString());
        same(Arrays.asList("BBBB"), keyed(p, topic, "BBBB", begin, end), "messages of another key");
        same(Arrays.asList("AaBB"), keyed(p, topic, "AaBB", begin, end), "messages of a third key");
        same(new ArrayList<String>(), keyed(p, topic, "BBAa", begin, end), "messages of a key that nobody sent");
    }
}
