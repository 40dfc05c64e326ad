package merlin.conformance;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

/**
 * Runs the conformance cases of the Java clients against the cluster of one name server and prints one JSON
 * object a line for each case: case, area, promise, status (pass, fail), reason, ms. Cases that disturb the servers run
 * last, all of one kind together (see Disturbance).
 *
 * <p>Arguments: "run", the name server address, the names of the cases separated by commas (all when missing), a
 * part of all names, the name of the broker set to make topics on (the first by name when missing).
 * With "consume", "answer" or "ask" the process plays a part in a case that needs one of its own; with "decode" it
 * prints what is in the frames that it reads. When the process
 * is asked to end it removes the topics and groups of the cases under way.
 */
public final class Main {
    private static final int PARALLEL = 8;

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        // Clients look at routes and divide queues every 30 and 20 s; a test cannot wait that long.
        System.setProperty("rocketmq.client.rebalance.waitInterval", "1000");
        switch (args[0]) {
            case "run":
                Env.runId = args.length > 3 ? args[3] : "";
                Env.brokerName = args.length > 4 ? args[4] : "";
                run(args[1], args.length > 2 ? new HashSet<>(Arrays.asList(args[2].split(","))) : null);
                break;
            case "consume":
                Child.run(args[1], args[2], args[3]);
                break;
            case "decode":
                Decode.run();
                break;
            case "answer":
                Parts.answer(args[1], args[2], args[3]);
                break;
            case "ask":
                Parts.ask(args[1], args[2], args[3]);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
    }

    private static void run(String nameServer, Set<String> names) throws Exception {
        List<Case> cases = new ArrayList<>();
        RouteCases.add(cases);
        OffsetCases.add(cases);
        TransactionCases.add(cases);
        RetryCases.add(cases);
        ConsumeCases.add(cases);
        GroupCases.add(cases);
        AdminCases.add(cases);
        SendCases.add(cases);
        PullCases.add(cases);
        FeatureCases.add(cases);
        Runtime.getRuntime().addShutdownHook(new Thread(Env::closeAll));
        RestartCases.add(cases);
        cases.removeIf(c -> names != null && !names.contains(c.name));
        for (String what : new String[] {null, Case.BROKER_RESTART, Case.BROKER_KILL, Case.NAMESERVER_RESTART}) {
            together(nameServer, what, cases.stream().filter(c -> Objects.equals(what, c.disturbs)).collect(Collectors.toList()));
        }
        System.out.flush();
        Env.shutDownAdmin();
        Runtime.getRuntime().halt(0); // clients leave threads behind
    }

    /** Runs cases side by side; all of them at once where they wait for each other. */
    private static void together(String nameServer, String what, List<Case> cases) throws Exception {
        if (cases.isEmpty()) {
            return;
        }
        Disturbance d = what == null ? null : new Disturbance(what, cases.size());
        ExecutorService pool = Executors.newFixedThreadPool(what == null ? PARALLEL : cases.size());
        List<Future<?>> running = new ArrayList<>();
        for (Case c : cases) {
            running.add(pool.submit(() -> one(new Env(nameServer, c.name).with(d), c)));
        }
        for (Future<?> f : running) {
            f.get();
        }
        pool.shutdown();
    }

    private static void one(Env env, Case c) {
        long start = System.currentTimeMillis();
        String reason = "";
        try {
            c.body.run(env);
        } catch (Throwable t) {
            reason = describe(t);
        }
        try {
            env.leaveDisturbance();
        } catch (Exception x) {
            System.err.println(x);
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
