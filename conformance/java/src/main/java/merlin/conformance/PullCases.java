package merlin.conformance;

import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Consumers that pull: the lite one and the old one. */
final class PullCases {
    private PullCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("lite-subscribe", "consume", "A subscribed lite pull consumer gets every message once and commits.",
            PullCases::liteSubscribe));
        cases.add(new Case("lite-assign-seek", "consume", "An assigned lite pull consumer reads from where it seeks to.",
            PullCases::liteAssign));
        cases.add(new Case("pull", "consume", "A pull says found, no new message, no match or illegal offset, with the next offset.",
            PullCases::pull));
        cases.add(new Case("offsets", "offset", "Minimum, maximum, by time, earliest store time and committed offsets are answered.",
            PullCases::offsets));
    }

    private static DefaultLitePullConsumer lite(Env e, String group) {
        DefaultLitePullConsumer c = e.configure(new DefaultLitePullConsumer(group));
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setAutoCommitIntervalMillis(1000);
        e.after(c::shutdown);
        return c;
    }

    private static List<String> poll(Env e, DefaultLitePullConsumer c, int n) throws Exception {
        List<String> got = new ArrayList<>();
        e.until(n + " messages by polling", () -> {
            for (MessageExt m : c.poll(200)) {
                got.add(new String(m.getBody(), StandardCharsets.UTF_8));
            }
            return got.size() >= n;
        }, got::toString);
        return got;
    }

    private static void liteSubscribe(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 3);
        String group = e.group();
        List<String> sent = e.send(p, topic, "m", 30);
        DefaultLitePullConsumer c = lite(e, group);
        c.subscribe(topic, "*");
        c.start();
        same(Env.sorted(sent), Env.sorted(poll(e, c, 30)), "polled messages");
        long[] sum = {0};
        e.until("30 committed", () -> {
            c.poll(10);
            sum[0] = 0;
            for (MessageQueue q : c.fetchMessageQueues(topic)) {
                sum[0] += Math.max(0, c.committed(q));
            }
            return sum[0] == 30;
        }, () -> "" + sum[0]);
        c.shutdown();
        OffsetCases.awaitAllCommitted(e, group, topic, 30);
        List<String> more = e.send(p, topic, "more", 6);
        DefaultLitePullConsumer again = lite(e, group);
        again.subscribe(topic, "*");
        again.start();
        same(Env.sorted(more), Env.sorted(poll(e, again, 6)), "polled by the next consumer of the group");
    }

    private static void liteAssign(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        List<String> sent = e.send(p, topic, "m", 20);
        DefaultLitePullConsumer c = lite(e, e.group());
        c.setAutoCommit(false);
        c.start();
        List<MessageQueue> queues = new ArrayList<>(c.fetchMessageQueues(topic));
        same(1, queues.size(), "queues");
        c.assign(queues);
        // Only then no pull is under way whose messages the client would still hand out after the seek.
        same(sent, poll(e, c, 20), "messages of the assigned queue");
        c.seek(queues.get(0), 12);
        same(sent.subList(12, 20), poll(e, c, 8), "messages from 12 on");
        c.seek(queues.get(0), 3);
        same(sent.subList(3, 20), poll(e, c, 17), "messages from 3 on");
        c.seekToBegin(queues.get(0));
        same(sent, poll(e, c, 20), "messages from the beginning");
        c.seekToEnd(queues.get(0));
        List<String> more = e.send(p, topic, "more", 2);
        same(more, poll(e, c, 2), "messages after the end");
    }

    private static void pull(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        for (int i = 0; i < 10; i++) {
            p.send(new Message(topic, i % 2 == 0 ? "even" : "odd", ("m " + i).getBytes(StandardCharsets.UTF_8)));
        }
        DefaultMQPullConsumer c = e.configure(new DefaultMQPullConsumer(e.group()));
        e.after(c::shutdown);
        c.start();
        MessageQueue q = c.fetchSubscribeMessageQueues(topic).iterator().next();
        PullResult r = c.pull(q, "*", 3, 4);
        same(PullStatus.FOUND, r.getPullStatus(), "status in the middle");
        same(7L, r.getNextBeginOffset(), "next offset");
        same(0L, r.getMinOffset(), "minimum");
        same(10L, r.getMaxOffset(), "maximum");
        same(4, r.getMsgFoundList().size(), "messages");
        same("m 3", new String(r.getMsgFoundList().get(0).getBody(), StandardCharsets.UTF_8), "first body");
        r = c.pull(q, "odd", 0, 32);
        same(5, r.getMsgFoundList().size(), "odd messages");
        same(10L, r.getNextBeginOffset(), "next offset after the odd ones");
        r = c.pull(q, "neither", 0, 32);
        same(PullStatus.NO_MATCHED_MSG, r.getPullStatus(), "status without a match");
        same(10L, r.getNextBeginOffset(), "next offset without a match");
        r = c.pull(q, "*", 10, 32);
        same(PullStatus.NO_NEW_MSG, r.getPullStatus(), "status at the end");
        r = c.pull(q, "*", 99, 32);
        same(PullStatus.OFFSET_ILLEGAL, r.getPullStatus(), "status beyond the end");
        same(10L, r.getNextBeginOffset(), "next offset beyond the end");
        long start = System.currentTimeMillis();
        Thread sender = new Thread(() -> {
            try {
                e.steady(700, "", () -> true);
                p.send(message(topic, "awaited"));
            } catch (Exception x) {
                System.err.println(x);
            }
        });
        sender.start();
        r = c.pullBlockIfNotFound(q, "*", 10, 32);
        same(PullStatus.FOUND, r.getPullStatus(), "status of a pull that waits");
        check(System.currentTimeMillis() - start < 5000, "the waiting pull took " + (System.currentTimeMillis() - start) + " ms");
        sender.join();
    }

    private static void offsets(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        DefaultMQPullConsumer c = e.configure(new DefaultMQPullConsumer(e.group()));
        e.after(c::shutdown);
        c.start();
        MessageQueue q = c.fetchSubscribeMessageQueues(topic).iterator().next();
        same(0L, c.minOffset(q), "minimum of an empty queue");
        same(0L, c.maxOffset(q), "maximum of an empty queue");
        same(-1L, c.earliestMsgStoreTime(q), "earliest store time of an empty queue");
        List<Long> times = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            SendResult r = Env.accepted(p.send(message(topic, "m " + i)));
            times.add(p.viewMessage(topic, r.getOffsetMsgId()).getStoreTimestamp());
            e.steady(5, "", () -> true);
        }
        same(5, new TreeSet<>(times).size(), "distinct store times");
        e.until("the messages in the queue", () -> c.maxOffset(q) == 5, () -> "" + c.maxOffset(q));
        same(0L, c.minOffset(q), "minimum");
        same(times.get(0), c.earliestMsgStoreTime(q), "earliest store time");
        for (int i = 0; i < 5; i++) {
            same((long) i, c.searchOffset(q, times.get(i)), "offset of the time of message " + i);
        }
        same(0L, c.searchOffset(q, times.get(0) - 100_000), "offset of a time before");
        same(5L, c.searchOffset(q, times.get(4) + 100_000), "offset of a time after");
        // A queue whose first message is still there, and in memory, counts as consumed up to 0.
        same(0L, c.fetchConsumeOffset(q, true), "committed offset of a new group");
        // The commit is one way, and is refused until the client's first heartbeat has made the group known; asking
        // for the offset overwrites what the client keeps.
        e.until("the committed offset", () -> {
            c.updateConsumeOffset(q, 3);
            c.getOffsetStore().persist(q);
            return c.fetchConsumeOffset(q, true) == 3;
        }, () -> "" + c.fetchConsumeOffset(q, true));
    }
}
