package merlin.conformance;

import static merlin.conformance.Env.check;
import static merlin.conformance.Env.message;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Transactions: ended by the producer, or by its answer when the broker asks. */
final class TransactionCases {
    /** The broker asks every thirty seconds, in messages that are older than six. */
    private static final int CHECKED_MS = 180_000;

    private TransactionCases() {
    }

    static void add(List<Case> cases) {
        cases.add(new Case("transaction-check", "transaction",
            "The broker asks the producer for the outcome of a transaction that it did not end, and acts on the answer.",
            TransactionCases::checked));
        cases.add(new Case("transaction-check-other", "transaction",
            "When the producer of a transaction is gone another one of its group is asked.", TransactionCases::checkedByOther));
        cases.add(new Case("transaction-commit", "transaction", "Committed messages are consumed, rolled back ones never.",
            TransactionCases::committed));
    }

    /** Says what became of local transactions, by the body of their messages. */
    private static final class Outcome implements TransactionListener {
        final Set<String> asked = ConcurrentHashMap.newKeySet();
        private final Function<String, LocalTransactionState> local;
        private final Function<String, LocalTransactionState> check;

        Outcome(Function<String, LocalTransactionState> local, Function<String, LocalTransactionState> check) {
            this.local = local;
            this.check = check;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
            return local.apply(new String(m.getBody(), StandardCharsets.UTF_8));
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt m) {
            String body = new String(m.getBody(), StandardCharsets.UTF_8);
            asked.add(body);
            return check.apply(body);
        }
    }

    private static LocalTransactionState unknown(String body) {
        return LocalTransactionState.UNKNOW;
    }

    private static LocalTransactionState byWord(String body) {
        return body.startsWith("commit") ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
    }

    private static TransactionMQProducer producer(Env e, String group, Outcome o) throws Exception {
        TransactionMQProducer p = e.configure(new TransactionMQProducer(group));
        p.setTransactionListener(o);
        e.start(p);
        return p;
    }

    private static void committed(Env e) throws Exception {
        TransactionMQProducer p = producer(e, e.name("p"), new Outcome(TransactionCases::byWord, TransactionCases::unknown));
        String topic = e.topic(p, 2);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        List<String> want = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            String body = (i % 2 == 0 ? "commit " : "roll back ") + i;
            p.sendMessageInTransaction(message(topic, body), null);
            if (i % 2 == 0) {
                want.add(body);
            }
        }
        e.bodies(want, box);
        e.steady(1500, "a rolled back message came", () -> box.size() == want.size());
        check(box.messages().stream().allMatch(m -> m.getTopic().equals(topic)), "topics");
    }

    private static void checked(Env e) throws Exception {
        e.limit(CHECKED_MS);
        Outcome o = new Outcome(TransactionCases::unknown, TransactionCases::byWord);
        TransactionMQProducer p = producer(e, e.name("p"), o);
        String topic = e.topic(p, 1);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        p.sendMessageInTransaction(message(topic, "commit me"), null);
        p.sendMessageInTransaction(message(topic, "roll me back"), null);
        e.bodies(Collections.singletonList("commit me"), box);
        e.until("both asked for", () -> o.asked.containsAll(Arrays.asList("commit me", "roll me back")), o.asked::toString);
        e.steady(1500, "the rolled back message came", () -> box.size() == 1);
    }

    private static void checkedByOther(Env e) throws Exception {
        e.limit(CHECKED_MS);
        String group = e.name("p");
        Outcome first = new Outcome(TransactionCases::unknown, TransactionCases::unknown);
        TransactionMQProducer gone = producer(e, group, first);
        String topic = e.topic(gone, 1);
        Env.Inbox box = new Env.Inbox();
        e.push(e.group(), topic, "*", box);
        gone.sendMessageInTransaction(message(topic, "commit me"), null);
        gone.shutdown();
        Outcome second = new Outcome(TransactionCases::unknown, TransactionCases::byWord);
        TransactionMQProducer other = producer(e, group, second);
        // A client tells a broker of itself once it has sent something there.
        List<String> want = e.send(other, topic, "plain", 1);
        want.add("commit me");
        e.bodies(want, box);
        check(second.asked.contains("commit me") && first.asked.isEmpty(), "asked were " + first.asked + " and " + second.asked);
    }
}
