package merlin.conformance;

import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Parts that this client plays in cases with clients of other languages; the topic and group are theirs. */
final class Parts {
    private static final int TIMEOUT_MS = 60_000;

    private Parts() {
    }

    /** Answers each request with "java says " and its body until the input ends. */
    static void answer(String nameServer, String group, String topic) throws Exception {
        Env env = new Env(nameServer, "answer");
        DefaultMQProducer replier = env.producer();
        DefaultMQPushConsumer c = env.consumer(group, topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            try {
                for (MessageExt m : ms) {
                    String body = "java says " + new String(m.getBody(), StandardCharsets.UTF_8);
                    replier.send(MessageUtil.createReplyMessage(m, body.getBytes(StandardCharsets.UTF_8)), 3000);
                }
            } catch (Exception x) {
                System.err.println(x);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        System.out.println("ready");
        System.in.read();
        env.close();
        Runtime.getRuntime().halt(0);
    }

    /** Sends one request and prints the reply. */
    static void ask(String nameServer, String topic, String body) throws Exception {
        Env env = new Env(nameServer, "ask");
        DefaultMQProducer p = env.producer();
        String[] reply = {null};
        // See FeatureCases: the callback is called without a message first.
        p.request(Env.message(topic, body), new RequestCallback() {
            @Override
            public void onSuccess(Message m) {
                if (m != null) {
                    reply[0] = new String(m.getBody(), StandardCharsets.UTF_8);
                }
            }

            @Override
            public void onException(Throwable t) {
                System.err.println(t);
            }
        }, TIMEOUT_MS);
        env.until("a reply", () -> reply[0] != null, () -> "none");
        System.out.println(reply[0]);
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
