package merlin.conformance;

import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Features beyond plain sending and consuming; a server may lack them. */
final class FeatureCases {
    private FeatureCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("request-reply", "send", "A request gets the reply of a consumer.", FeatureCases::requestReply));
        cases.add(new Case("trace", "query", "A client that traces leaves a record of each send and each consumption, found by the message id.",
            FeatureCases::trace));
    }

    private static void requestReply(Env e) throws Exception {
        DefaultMQProducer asker = e.producer();
        DefaultMQProducer replier = e.producer();
        String topic = e.topic(asker, 1);
        DefaultMQPushConsumer c = e.consumer(e.group(), topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            for (MessageExt m : ms) {
                try {
                    String body = "reply to " + new String(m.getBody(), StandardCharsets.UTF_8);
                    replier.send(MessageUtil.createReplyMessage(m, body.getBytes(StandardCharsets.UTF_8)), 3000);
                } catch (Exception x) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        // The blocking request of client 5.3.3 gives up as soon as its send is answered, and its callback is called
        // without a message then; the call with the reply counts.
        AtomicReference<String> reply = new AtomicReference<>();
        asker.request(message(topic, "question"), new RequestCallback() {
            @Override
            public void onSuccess(Message m) {
                if (m != null) {
                    reply.set(new String(m.getBody(), StandardCharsets.UTF_8));
                }
            }

            @Override
            public void onException(Throwable t) {
                reply.compareAndSet(null, t.toString());
            }
        }, 60_000);
        e.until("a reply", () -> reply.get() != null, () -> "none");
        same("reply to question", reply.get(), "reply");
    }

    private static void trace(Env e) throws Exception {
        DefaultMQProducer plain = e.producer();
        String topic = e.topic(plain, 1);
        String traces = e.topic(plain, 1);
        String group = e.group();
        DefaultMQProducer p = e.start(e.configure(new DefaultMQProducer(e.name("p"), true, traces)));
        Env.Inbox box = new Env.Inbox();
        DefaultMQPushConsumer c = e.configure(new DefaultMQPushConsumer(group, true, traces));
        // The message may come before the consumer has asked where the queue ends.
        c.setConsumeFromWhere(org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            box.add(ms);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        e.after(c::shutdown);
        c.start();
        Message m = new Message(topic, "tag", "key", "traced".getBytes(StandardCharsets.UTF_8));
        SendResult r = Env.accepted(p.send(m));
        e.until("the message", () -> box.size() == 1, () -> "" + box.size());
        // Fields of a trace are separated by the character 1, records by 2.
        e.until("traces of the send and the consumption", () -> {
            String all = traced(plain, traces, r.getMsgId());
            return all.contains("Pub\u0001") && all.contains("SubBefore\u0001") && all.contains("SubAfter\u0001");
        }, () -> traced(plain, traces, r.getMsgId()));
        String all = traced(plain, traces, r.getMsgId());
        check(all.contains(topic) && all.contains(group) && all.contains("\u0001key\u0001"), "traces " + all);
        check(traced(plain, traces, "key").contains(r.getMsgId()), "traces by the message's key");
    }

    private static String traced(DefaultMQProducer p, String topic, String key) {
        StringBuilder all = new StringBuilder();
        try {
            long now = System.currentTimeMillis();
            for (MessageExt m : p.queryMessage(topic, key, 32, now - 600_000, now + 600_000).getMessageList()) {
                all.append(new String(m.getBody(), StandardCharsets.UTF_8));
            }
        } catch (Exception nothing) {
            // the client throws when no broker has any
        }
        return all.toString();
    }
}
