package merlin.conformance;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What a case works with: clients that are stopped after it, names of its own, waiting and comparing. */
final class Env {
    static final int LIMIT_MS = 90_000;

    final String nameServer;
    private final String prefix;
    private volatile long deadline = System.currentTimeMillis() + LIMIT_MS;
    private final Deque<Undo> undo = new ArrayDeque<>();
    private int names;
    private Disturbance disturbance;

    Env(String nameServer, String caseName) {
        this.nameServer = nameServer;
        this.prefix = "jconf-" + runId + UUID.randomUUID().toString().substring(0, 8) + "-" + caseName;
        OPEN.add(this);
    }

    /** What has to happen after a case. */
    interface Undo {
        void run() throws Exception;
    }

    private static final Set<Env> OPEN = ConcurrentHashMap.newKeySet();
    private static DefaultMQAdminExt admin;
    private static String[] brokerSet;

    /** A part of the names of all topics and groups of the run. */
    static String runId = "";

    /** The name of the broker set that topics are made on; empty is the first by name. */
    static String brokerName = "";

    /** Closes what is still open when the process ends early. */
    static void closeAll() {
        OPEN.forEach(Env::close);
    }

    static synchronized void shutDownAdmin() {
        if (admin != null) {
            admin.shutdown();
        }
    }

    /** The admin client that all cases share. */
    DefaultMQAdminExt admin() throws Exception {
        synchronized (Env.class) {
            if (admin == null) {
                DefaultMQAdminExt a = configure(new DefaultMQAdminExt(15_000));
                a.start();
                admin = a;
            }
            return admin;
        }
    }

    /** The broker set that topics are made on: its name, its master's address, its cluster. */
    private String[] set() throws Exception {
        synchronized (Env.class) {
            if (brokerSet == null) {
                eventually("the brokers of the cluster", () -> {
                    var table = admin().examineBrokerClusterInfo().getBrokerAddrTable();
                    String name = brokerName.isEmpty() ? Collections.min(table.keySet()) : brokerName;
                    brokerSet = new String[] {name, table.get(name).getBrokerAddrs().get(0L), table.get(name).getCluster()};
                });
            }
            return brokerSet;
        }
    }

    String brokerName() throws Exception {
        return set()[0];
    }

    String broker() throws Exception {
        return set()[1];
    }

    /** Calls until it succeeds: for preparations that may be asked for twice. */
    void eventually(String what, Undo call) throws Exception {
        String[] last = {""};
        until(what, () -> {
            try {
                call.run();
                return true;
            } catch (Exception e) {
                last[0] = e.toString();
                return false;
            }
        }, () -> last[0]);
    }

    /** Says what disturb() shall join. */
    Env with(Disturbance d) {
        disturbance = d;
        return this;
    }

    /** Waits until all cases of this kind are ready, and until it has happened to the servers. */
    void disturb() throws Exception {
        Disturbance d = disturbance;
        disturbance = null;
        d.arrive();
    }

    /** Lets the others go on when the case never got to it. */
    void leaveDisturbance() throws Exception {
        if (disturbance != null) {
            disturbance.leave();
        }
    }

    /** Gives the case more time than the usual limit. */
    void limit(int ms) {
        deadline = System.currentTimeMillis() + ms;
    }

    /** Stops the clients of the case and removes its topics and groups, the last made first. */
    void close() {
        for (Undo u = next(); u != null; u = next()) {
            try {
                u.run();
            } catch (Exception e) {
                System.err.println(prefix + ": " + e);
            }
        }
        OPEN.remove(this);
    }

    private synchronized Undo next() {
        return undo.poll();
    }

    synchronized void after(Undo u) {
        undo.push(u);
    }

    synchronized String name(String kind) {
        return prefix + "-" + kind + ++names;
    }

    /** Points a client at the cluster, as an instance of its own that looks at routes every second. */
    <T extends ClientConfig> T configure(T client) {
        client.setNamesrvAddr(nameServer);
        client.setInstanceName(name("i"));
        client.setPollNameServerInterval(1000);
        client.setPersistConsumerOffsetInterval(1000);
        client.setVipChannelEnabled(false);
        client.setMqClientApiTimeout(15_000); // 3 s are not enough while servers and clients warm up side by side
        return client;
    }

    DefaultMQProducer producer() throws Exception {
        return start(configure(new DefaultMQProducer(name("p"))));
    }

    DefaultMQProducer start(DefaultMQProducer p) throws Exception {
        p.setSendMsgTimeout(15_000);
        p.setRetryTimesWhenSendFailed(0);
        p.start();
        after(p::shutdown);
        return p;
    }

    /** Creates a topic, waits until the producer has its route, and removes it after the case. */
    String topic(DefaultMQProducer p, int queues) throws Exception {
        String topic = name("t");
        put(topic, queues, 6);
        until("a route of " + topic, () -> queuesOf(p, topic) == queues, () -> "" + queuesOf(p, topic));
        return topic;
    }

    /** Creates a topic or changes it, and removes it after the case. */
    void put(String topic, int queues, int perm) throws Exception {
        TopicConfig c = new TopicConfig(topic, queues, queues, perm);
        dropTopic(topic);
        eventually("topic " + topic, () -> admin().createAndUpdateTopicConfig(broker(), c));
    }

    /** Has a topic removed after the case. */
    void dropTopic(String topic) {
        after(() -> removeTopic(topic));
    }

    /** Removes a topic from the broker and the name server. */
    void removeTopic(String topic) throws Exception {
        admin().deleteTopicInBroker(Collections.singleton(broker()), topic);
        Versions.deleteTopicInNameServer(admin(), Collections.singleton(nameServer), set()[2], topic);
    }

    /** A consumer group that is removed after the case, with its retry and dead letter topics. */
    String group() throws Exception {
        String group = name("g");
        dropGroup(group);
        eventually("group " + group, () -> Versions.putGroup(admin(), broker(), group));
        return group;
    }

    /** Has a group removed after the case. */
    void dropGroup(String group) {
        after(() -> admin().deleteSubscriptionGroup(broker(), group, true));
        dropTopic("%RETRY%" + group);
        dropTopic("%DLQ%" + group);
    }

    private static int queuesOf(DefaultMQProducer p, String topic) {
        try {
            return p.fetchPublishMessageQueues(topic).size();
        } catch (Exception e) {
            return -1;
        }
    }

    /** Sends n messages "PREFIX i" and returns their bodies. */
    List<String> send(DefaultMQProducer p, String topic, String what, int n) throws Exception {
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            accepted(p.send(message(topic, what + " " + i)));
            bodies.add(what + " " + i);
        }
        return bodies;
    }

    static Message message(String topic, String body) {
        return new Message(topic, body.getBytes(StandardCharsets.UTF_8));
    }

    static SendResult accepted(SendResult r) {
        same(SendStatus.SEND_OK, r.getSendStatus(), "send status");
        return r;
    }

    /** A push consumer that reads from the first message on; not started. */
    DefaultMQPushConsumer consumer(String group, String topic, String expression) throws Exception {
        DefaultMQPushConsumer c = configure(new DefaultMQPushConsumer(group));
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(topic, expression);
        c.setConsumeThreadMin(2);
        c.setConsumeThreadMax(4);
        after(c::shutdown);
        return c;
    }

    /** A started push consumer that accepts everything into the inbox. */
    DefaultMQPushConsumer push(String group, String topic, String expression, Inbox box) throws Exception {
        DefaultMQPushConsumer c = consumer(group, topic, expression);
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        return c;
    }

    /** Waits until the condition holds; seen describes the state when it never does. */
    void until(String what, Callable<Boolean> condition, Callable<String> seen) throws Exception {
        while (!condition.call()) {
            if (System.currentTimeMillis() > deadline) {
                throw new AssertionError("never saw " + what + ": " + seen.call());
            }
            Thread.sleep(20);
        }
    }

    /** Waits until the inboxes together hold exactly these bodies, in any order. */
    void bodies(Collection<String> expected, Inbox... boxes) throws Exception {
        List<String> want = sorted(expected);
        until(want.size() + " messages", () -> sorted(all(boxes)).equals(want), () -> difference(want, all(boxes)));
    }

    /** Waits until each of these bodies arrived at least once. */
    void atLeast(Collection<String> expected, Inbox... boxes) throws Exception {
        until(expected.size() + " messages at least once", () -> all(boxes).containsAll(expected),
            () -> difference(expected, all(boxes)));
    }

    /** Fails when the condition stops to hold within that time. */
    void steady(int ms, String what, Callable<Boolean> condition) throws Exception {
        long end = System.currentTimeMillis() + ms;
        while (System.currentTimeMillis() < end) {
            if (!condition.call()) {
                throw new AssertionError(what);
            }
            Thread.sleep(20);
        }
    }

    static List<String> all(Inbox... boxes) {
        List<String> out = new ArrayList<>();
        for (Inbox b : boxes) {
            out.addAll(b.bodies());
        }
        return out;
    }

    static List<String> sorted(Collection<String> c) {
        List<String> l = new ArrayList<>(c);
        Collections.sort(l);
        return l;
    }

    static String difference(Collection<String> want, Collection<String> got) {
        Map<String, Integer> count = new TreeMap<>();
        want.forEach(w -> count.merge(w, 1, Integer::sum));
        got.forEach(g -> count.merge(g, -1, Integer::sum));
        count.values().removeIf(n -> n == 0);
        return got.size() + " arrived, missing (+) or too many (-): " + count;
    }

    static void same(Object expected, Object seen, String what) {
        if (!Objects.equals(expected, seen)) {
            throw new AssertionError(what + ": expected " + expected + ", saw " + seen);
        }
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }

    /** All queues of a topic that a client sees. */
    static List<MessageQueue> list(Collection<MessageQueue> queues) {
        List<MessageQueue> l = new ArrayList<>(queues);
        Collections.sort(l);
        return l;
    }

    /** What consumers got. */
    static final class Inbox {
        private final List<MessageExt> all = new ArrayList<>();

        synchronized void add(Collection<MessageExt> ms) {
            all.addAll(ms);
        }

        synchronized List<MessageExt> messages() {
            return new ArrayList<>(all);
        }

        synchronized int size() {
            return all.size();
        }

        List<String> bodies() {
            List<String> out = new ArrayList<>();
            for (MessageExt m : messages()) {
                out.add(new String(m.getBody(), StandardCharsets.UTF_8));
            }
            return out;
        }
    }
}
