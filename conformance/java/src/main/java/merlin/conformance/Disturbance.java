package merlin.conformance;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;

/**
 * Something that happens to the servers while cases run: each case prepares, all wait, it happens once, each looks
 * at what is left. The driver does it: it reads {"disturb": what} and answers with a line, "ok" or what went wrong.
 */
final class Disturbance {
    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    private final String what;
    private int expected;
    private int waiting;
    private String outcome;

    Disturbance(String what, int cases) {
        this.what = what;
        this.expected = cases;
    }

    /** Waits for the others and for what happens; a case calls it once. */
    synchronized void arrive() throws Exception {
        waiting++;
        happenWhenAllAreThere();
        while (outcome == null) {
            wait();
        }
        if (!outcome.equals("ok")) {
            throw new AssertionError(what + ": " + outcome);
        }
    }

    /** A case ended before it came here: the others go on without it. */
    synchronized void leave() throws IOException {
        expected--;
        happenWhenAllAreThere();
    }

    private void happenWhenAllAreThere() throws IOException {
        if (outcome != null || waiting == 0 || waiting < expected) {
            return;
        }
        synchronized (System.out) {
            System.out.println("{\"disturb\":" + Main.quote(what) + "}");
            System.out.flush();
        }
        String line = ANSWERS.readLine();
        outcome = line == null ? "the driver is gone" : line;
        notifyAll();
    }
}
