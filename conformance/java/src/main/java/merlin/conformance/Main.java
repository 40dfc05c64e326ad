package merlin.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;

/**
 * Runs the conformance cases of the Java clients against the cluster of one name server and prints one JSON
 * object a line for each case: case, area, promise, status (pass, fail), reason, ms.
 *
 * <p>Arguments: the name server address, a pattern of case names. With "consume" as the first argument the
 * process is a consumer that another one will kill.
 */
public final class Main {
    private static final int PARALLEL = 6;

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        // Clients look at routes and divide queues every 30 and 20 s; a test cannot wait that long.
        System.setProperty("rocketmq.client.rebalance.waitInterval", "1000");
        if (args[0].equals("consume")) {
            Child.run(args[1], args[2], args[3]);
            return;
        }
        Pattern match = Pattern.compile(args.length > 1 ? args[1] : "");
        List<Case> cases = new ArrayList<>();
        SendCases.add(cases);
        ConsumeCases.add(cases);
        PullCases.add(cases);
        RetryCases.add(cases);
        FeatureCases.add(cases);
        ExecutorService pool = Executors.newFixedThreadPool(PARALLEL);
        List<Future<?>> running = new ArrayList<>();
        for (Case c : cases) {
            if (match.matcher(c.name).find()) {
                running.add(pool.submit(() -> one(args[0], c)));
            }
        }
        for (Future<?> f : running) {
            f.get();
        }
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.SECONDS);
        System.out.flush();
        Runtime.getRuntime().halt(0); // clients leave threads behind
    }

    private static void one(String nameServer, Case c) {
        long start = System.currentTimeMillis();
        String reason = "";
        Env env = new Env(nameServer, c.name);
        try {
            c.body.run(env);
        } catch (Throwable t) {
            reason = describe(t);
        }
        env.close();
        String line = "{\"case\":" + quote(c.name) + ",\"area\":" + quote(c.area) + ",\"promise\":" + quote(c.promise)
            + ",\"status\":" + quote(reason.isEmpty() ? "pass" : "fail") + ",\"reason\":" + quote(reason)
            + ",\"ms\":" + (System.currentTimeMillis() - start) + "}";
        synchronized (System.out) {
            System.out.println(line);
        }
    }

    private static String describe(Throwable t) {
        StringBuilder b = new StringBuilder(t.toString());
        for (StackTraceElement e : t.getStackTrace()) {
            if (e.getClassName().startsWith("merlin.")) {
                b.append("\n  at ").append(e);
            }
        }
        if (t.getCause() != null) {
            b.append("\n  because of ").append(t.getCause());
        }
        return b.toString();
    }

    static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c < ' ') {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }
}
