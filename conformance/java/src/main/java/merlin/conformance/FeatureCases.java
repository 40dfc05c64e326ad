package merlin.conformance;

import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;
import static merlin.conformance.Env.same;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Features beyond plain sending and consuming; a server may lack them. */
final class FeatureCases {
    private FeatureCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("request-reply", "send", "A request gets the reply of a consumer.", FeatureCases::requestReply));
        cases.add(new Case("transaction-commit", "transaction", "Committed messages are consumed, rolled back ones never.",
            FeatureCases::transaction));
    }

    private static void requestReply(Env e) throws Exception {
        DefaultMQProducer asker = e.producer();
        DefaultMQProducer replier = e.producer();
        String topic = e.topic(asker, 1);
        DefaultMQPushConsumer c = e.consumer(e.name("g"), topic, "*");
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

    private static void transaction(Env e) throws Exception {
        TransactionMQProducer p = e.configure(new TransactionMQProducer(e.name("p")));
        p.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
                return (LocalTransactionState) arg;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                return LocalTransactionState.UNKNOW;
            }
        });
        e.start(p);
        String topic = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        e.push(e.name("g"), topic, "*", box);
        List<String> want = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            boolean commit = i % 2 == 0;
            p.sendMessageInTransaction(message(topic, "m " + i),
                commit ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE);
            if (commit) {
                want.add("m " + i);
            }
        }
        e.bodies(want, box);
        e.steady(1500, "a rolled back message came", () -> box.size() == want.size());
        check(box.messages().stream().allMatch(m -> m.getTopic().equals(topic)), "topics");
    }
}
