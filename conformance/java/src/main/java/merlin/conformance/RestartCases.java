package merlin.conformance;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Servers that are stopped, killed and started again while clients work. */
final class RestartCases {
    /** A Java broker needs twenty seconds to stop, and the cases wait for each other. */
    private static final int LIMIT_MS = 240_000;

    private RestartCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("broker-restart-messages", "send", "Messages that were accepted before a broker restart are there after it.",
            Case.BROKER_RESTART, RestartCases::messages));
        cases.add(new Case("broker-restart-clients", "consume", "Running producers and consumers go on after a broker restart.",
            Case.BROKER_RESTART, RestartCases::clients));
        cases.add(new Case("broker-restart-offsets", "offset", "Offsets that were committed are kept over a broker restart.",
            Case.BROKER_RESTART, RestartCases::offsets));
        cases.add(new Case("broker-kill-messages", "send", "Messages that were accepted before a broker is killed are there after it.",
            Case.BROKER_KILL, RestartCases::messages));
        cases.add(new Case("broker-kill-clients", "consume", "Running producers and consumers go on after a broker was killed.",
            Case.BROKER_KILL, RestartCases::clients));
        cases.add(new Case("broker-kill-offsets", "offset", "Offsets that were on disk are kept when a broker is killed.",
            Case.BROKER_KILL, RestartCases::offsets));
        cases.add(new Case("nameserver-restart-clients", "consume", "Running producers and consumers go on after a name server restart.",
            Case.NAMESERVER_RESTART, RestartCases::clients));
        cases.add(new Case("nameserver-restart-route", "route", "A client that starts after a name server restart finds the route.",
            Case.NAMESERVER_RESTART, RestartCases::messages));
    }

    /** Sends until it is accepted: the servers were just away. */
    private static void sendEventually(Env e, DefaultMQProducer p, String topic, String body) throws Exception {
        e.eventually("an accepted send", () -> Env.same(SendStatus.SEND_OK, p.send(Env.message(topic, body)).getSendStatus(), "status"));
    }

    private static void messages(Env e) throws Exception {
        e.limit(LIMIT_MS);
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        List<String> sent = e.send(p, topic, "m", 40);
        e.disturb();
        DefaultMQPullConsumer c = e.configure(new DefaultMQPullConsumer(e.group()));
        c.start();
        e.after(c::shutdown);
        MessageQueue queue = new MessageQueue(topic, e.brokerName(), 0);
        e.until("the end of the queue", () -> maxOffset(c, queue) == sent.size(), () -> "" + maxOffset(c, queue));
        List<String> got = new ArrayList<>();
        while (got.size() < sent.size()) {
            PullResult r = c.pull(queue, "*", got.size(), 32);
            Env.same(PullStatus.FOUND, r.getPullStatus(), "status at " + got.size());
            for (MessageExt m : r.getMsgFoundList()) {
                Env.same((long) got.size(), m.getQueueOffset(), "offset");
                got.add(new String(m.getBody(), StandardCharsets.UTF_8));
            }
        }
        Env.same(sent, got, "messages in order");
        DefaultMQProducer later = e.producer();
        sendEventually(e, later, topic, "after");
    }

    private static long maxOffset(DefaultMQPullConsumer c, MessageQueue queue) {
        try {
            return c.maxOffset(queue);
        } catch (Exception x) {
            return -1;
        }
    }

    private static void clients(Env e) throws Exception {
        e.limit(LIMIT_MS);
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        List<String> sent = e.send(p, topic, "before", 10);
        e.bodies(sent, box);
        e.disturb();
        for (int i = 0; i < 10; i++) {
            sendEventually(e, p, topic, "after " + i);
            sent.add("after " + i);
        }
        e.atLeast(sent, box);
    }

    private static void offsets(Env e) throws Exception {
        e.limit(LIMIT_MS);
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.push(group, topic, "*", box);
        e.bodies(e.send(p, topic, "m", 20), box);
        OffsetCases.awaitCommitted(e, group, topic, 20);
        c.shutdown();
        // A broker writes committed offsets every five seconds, for the first time ten seconds after its start.
        Thread.sleep(12_000);
        e.disturb();
        DefaultMQProducer later = e.producer();
        sendEventually(e, later, topic, "after");
        Env.Inbox again = new Env.Inbox();
        e.push(group, topic, "*", again);
        e.atLeast(List.of("after"), again);
        Env.same(List.of("after"), again.bodies(), "what came after it");
    }
}
