package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Topics that come, change and go. */
final class RouteCases {
    private static final int NO_PERMISSION = 16;

    private RouteCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("send-auto-create", "route", "A send to an unknown topic creates it with four queues and a route.",
            RouteCases::autoCreate));
        cases.add(new Case("route-more-queues", "route", "When a topic gets more queues, running clients send to them and read them.",
            RouteCases::moreQueues));
        cases.add(new Case("route-delete", "route", "A deleted topic has no route, and its queues begin at 0 when it is made again.",
            RouteCases::delete));
        cases.add(new Case("topic-permission", "errors", "Producers have no route to a topic that must not be written; one that must not be read refuses pulls.",
            RouteCases::permission));
    }

    private static void autoCreate(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.name("auto");
        e.dropTopic(topic);
        SendResult r = accepted(p.send(message(topic, "first")));
        check(r.getMessageQueue().getQueueId() < 4, "queue " + r.getMessageQueue());
        DefaultMQProducer other = e.producer();
        e.until("a route with four queues", () -> {
            try {
                return other.fetchPublishMessageQueues(topic).size() == 4;
            } catch (Exception none) {
                return false;
            }
        }, () -> "none");
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(Collections.singletonList("first"), box);
    }

    private static void moreQueues(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        List<String> sent = e.send(p, topic, "before", 8);
        e.bodies(sent, box);
        e.put(topic, 5, 6);
        int[] round = {0};
        e.until("messages of all five queues", () -> {
            sent.addAll(e.send(p, topic, "round " + round[0]++, 5));
            e.steady(200, "", () -> true);
            return queues(box).size() == 5;
        }, () -> queues(box).toString());
        e.atLeast(sent, box);
    }

    private static Set<Integer> queues(Env.Inbox box) {
        Set<Integer> s = new HashSet<>();
        for (MessageExt m : box.messages()) {
            s.add(m.getQueueId());
        }
        return s;
    }

    private static long end(Env e, String topic, int queue) throws Exception {
        return e.admin().maxOffset(new MessageQueue(topic, e.brokerName(), queue));
    }

    private static void delete(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        e.send(p, topic, "old", 6);
        // A message that a Java broker has stored but not put into its queue yet would bring the queue back.
        e.until("the messages in their queues", () -> end(e, topic, 0) + end(e, topic, 1) == 6, () -> "fewer");
        e.removeTopic(topic);
        DefaultMQProducer other = e.producer();
        e.until("no route", () -> {
            try {
                other.fetchPublishMessageQueues(topic);
                return false;
            } catch (MQClientException none) {
                return true;
            }
        }, () -> "a route");
        e.put(topic, 2, 6);
        e.until("a route", () -> {
            try {
                return e.producer().fetchPublishMessageQueues(topic).size() == 2;
            } catch (Exception none) {
                return false;
            }
        }, () -> "none");
        e.until("empty queues", () -> end(e, topic, 0) == 0, () -> "" + end(e, topic, 0));
        List<String> sent = e.send(e.producer(), topic, "new", 4);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.bodies(sent, box);
    }

    private static void permission(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        e.send(p, topic, "before", 3);
        MessageQueue queue = new MessageQueue(topic, e.brokerName(), 0);
        e.put(topic, 1, 4);
        // The producer's library leaves out what must not be written; the broker would take it.
        e.until("a producer that finds no queue to send to", () -> {
            try {
                e.producer().send(message(topic, "x"));
                return false;
            } catch (MQClientException noRoute) {
                return true;
            }
        }, () -> "accepted");
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        e.until("what was sent before", () -> box.size() >= 3, () -> "" + box.size());
        e.put(topic, 1, 2);
        DefaultMQPullConsumer c = e.configure(new DefaultMQPullConsumer(e.group()));
        e.after(c::shutdown);
        c.start();
        same(NO_PERMISSION, refused(() -> c.pull(queue, "*", 0, 8)), "code of a pull from a topic that is written only");
        accepted(p.send(message(topic, "y"), queue));
    }

    private static int refused(Env.Undo call) throws Exception {
        try {
            call.run();
        } catch (MQBrokerException x) {
            return x.getResponseCode();
        }
        throw new AssertionError("accepted");
    }
}
