import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs commands of the stock admin tool in one JVM: reads one command a line, arguments separated by tabs, and
 * answers with what it printed and a line that only says the end.
 */
public final class AdminDriver extends MQAdminStartup {
    private static final String END = "\u0001end";

    private AdminDriver() {
    }

    public static void main(String[] args) {
        try {
            serve();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static void serve() throws Exception {
        PrintStream real = System.out;
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ByteArrayOutputStream captured = new ByteArrayOutputStream();
            PrintStream out = new PrintStream(captured, true, "UTF-8");
            System.setOut(out);
            System.setErr(out);
            SUB_COMMANDS.clear(); // sendMessage keeps the producer that it shut down
            main0(line.split("\t"), null);
            out.flush();
            real.write(captured.toByteArray());
            real.println();
            real.println(END);
            real.flush();
        }
        Runtime.getRuntime().halt(0);
    }
}
