package merlin.conformance;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** A consumer in a process of its own, to be killed. */
final class Child {
    private final Process process;
    private final List<String> bodies = new ArrayList<>();

    Child(Env env, String group, String topic) throws Exception {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"),
            "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Duser.home=" + System.getProperty("user.home"), "-cp", System.getProperty("java.class.path"),
            Main.class.getName(), "consume", env.nameServer, group, topic));
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        env.after(this::kill);
        Thread reader = new Thread(() -> {
            try (BufferedReader r = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                for (String line = r.readLine(); line != null; line = r.readLine()) {
                    synchronized (bodies) {
                        bodies.add(line);
                    }
                }
            } catch (java.io.IOException e) {
                System.err.println(e);
            }
        });
        reader.setDaemon(true);
        reader.start();
    }

    List<String> seen() {
        synchronized (bodies) {
            return new ArrayList<>(bodies);
        }
    }

    /** Kills without a goodbye. */
    void kill() {
        process.destroyForcibly();
    }

    static void run(String nameServer, String group, String topic) throws Exception {
        Env env = new Env(nameServer, "child");
        DefaultMQPushConsumer c = env.consumer(group, topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (ms, context) -> {
            for (MessageExt m : ms) {
                System.out.println(new String(m.getBody(), StandardCharsets.UTF_8));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        System.in.read(); // until the parent is gone
        Runtime.getRuntime().halt(0);
    }
}
