package merlin.conformance;

import static merlin.conformance.Env.accepted;
import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageQueue;

/** What an operator sees of running clients. */
final class AdminCases {
    private AdminCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("admin-consumer-connection", "admin", "An operator sees the members of a group, with their subscriptions.",
            AdminCases::consumerConnection));
        cases.add(new Case("admin-producer-connection", "admin", "An operator sees the members of a producer group.",
            AdminCases::producerConnection));
        cases.add(new Case("admin-running-info", "admin", "An operator asks a running consumer, through the broker, for its queues and settings.",
            AdminCases::runningInfo));
        cases.add(new Case("admin-consume-directly", "admin", "An operator has a running consumer process one stored message again, and gets its answer.",
            AdminCases::consumeDirectly));
        cases.add(new Case("admin-stats", "admin", "An operator sees the offsets of a topic and how far a group is in it.", AdminCases::stats));
    }

    private static DefaultMQPushConsumer consuming(Env e, String group, String topic, Env.Inbox box, int n) throws Exception {
        DefaultMQPushConsumer c = e.push(group, topic, "red || blue", box);
        e.until("messages", () -> box.size() == n, () -> "" + box.size());
        return c;
    }

    private static SendResult red(DefaultMQProducer p, String topic, String body) throws Exception {
        var m = message(topic, body);
        m.setTags("red");
        return accepted(p.send(m));
    }

    private static void consumerConnection(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        red(p, topic, "m");
        DefaultMQPushConsumer c = consuming(e, group, topic, new Env.Inbox(), 1);
        var info = e.admin().examineConsumerConnectionInfo(group);
        same(1, info.getConnectionSet().size(), "members");
        var member = info.getConnectionSet().iterator().next();
        same(c.getInstanceName(), member.getClientId().split("@")[1], "client id");
        same("JAVA", member.getLanguage().toString(), "language");
        same("CLUSTERING", info.getMessageModel().toString(), "message model");
        same("CONSUME_PASSIVELY", info.getConsumeType().toString(), "type");
        same("red || blue", info.getSubscriptionTable().get(topic).getSubString(), "subscription");
        check(info.getSubscriptionTable().containsKey("%RETRY%" + group), "subscriptions " + info.getSubscriptionTable().keySet());
        c.shutdown();
        e.until("no members", () -> {
            try {
                e.admin().examineConsumerConnectionInfo(group);
                return false;
            } catch (Exception gone) {
                return true;
            }
        }, () -> "one");
    }

    private static void producerConnection(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        red(p, topic, "m");
        e.until("the producer", () -> {
            try {
                var info = e.admin().examineProducerConnectionInfo(p.getProducerGroup(), topic);
                return info.getConnectionSet().size() == 1
                    && info.getConnectionSet().iterator().next().getClientId().split("@")[1].equals(p.getInstanceName());
            } catch (Exception notYet) {
                return false;
            }
        }, () -> "nobody");
    }

    private static void runningInfo(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 2);
        String group = e.group();
        red(p, topic, "m");
        DefaultMQPushConsumer c = consuming(e, group, topic, new Env.Inbox(), 1);
        String id = e.admin().examineConsumerConnectionInfo(group).getConnectionSet().iterator().next().getClientId();
        var info = e.admin().getConsumerRunningInfo(group, id, false);
        same(c.getInstanceName(), id.split("@")[1], "client id");
        int queues = 0;
        for (MessageQueue q : info.getMqTable().keySet()) {
            queues += q.getTopic().equals(topic) ? 1 : 0;
        }
        same(2, queues, "queues of the consumer");
        check(info.getSubscriptionSet().stream().anyMatch(s -> s.getTopic().equals(topic) && s.getSubString().equals("red || blue")),
            "subscriptions");
        same("2", info.getProperties().getProperty("consumeThreadMin"), "a setting");
        check(info.getJstack() == null, "a stack that was not asked for");
        check(e.admin().getConsumerRunningInfo(group, id, true).getJstack().contains("merlin.conformance"), "a stack that was asked for");
    }

    private static void consumeDirectly(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        SendResult r = red(p, topic, "again");
        Env.Inbox box = new Env.Inbox();
        consuming(e, group, topic, box, 1);
        String id = e.admin().examineConsumerConnectionInfo(group).getConnectionSet().iterator().next().getClientId();
        var result = e.admin().consumeMessageDirectly(group, id, topic, r.getOffsetMsgId());
        same("CR_SUCCESS", String.valueOf(result.getConsumeResult()), "answer of the consumer");
        same(2, box.size(), "deliveries");
        same("[again, again]", box.bodies().toString(), "bodies");
    }

    private static void stats(Env e) throws Exception {
        DefaultMQProducer p = e.producer();
        String topic = e.topic(p, 1);
        String group = e.group();
        for (int i = 0; i < 5; i++) {
            red(p, topic, "m " + i);
        }
        consuming(e, group, topic, new Env.Inbox(), 5);
        MessageQueue queue = new MessageQueue(topic, e.brokerName(), 0);
        var topicStats = e.admin().examineTopicStats(topic).getOffsetTable().get(queue);
        same(0L, topicStats.getMinOffset(), "minimum");
        same(5L, topicStats.getMaxOffset(), "maximum");
        check(topicStats.getLastUpdateTimestamp() > 0, "time of the last message");
        e.until("the group at the end", () -> {
            try {
                var progress = e.admin().examineConsumeStats(group).getOffsetTable().get(queue);
                return progress != null && progress.getConsumerOffset() == 5 && progress.getBrokerOffset() == 5;
            } catch (MQClientException nothingCommittedYet) {
                return false;
            }
        }, () -> "others");
        same(0L, e.admin().examineConsumeStats(group, topic).computeTotalDiff(), "messages behind");
    }
}
