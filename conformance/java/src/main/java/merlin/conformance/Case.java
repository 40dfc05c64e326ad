package merlin.conformance;

/** One promise and the code that shows that it is kept; the code throws when it is not. */
final class Case {
    /** The code of a case. */
    interface Body {
        void run(Env env) throws Exception;
    }

    /** Marks a case about calls that clients 4.9 have not got; it is left out of their list. */
    static final boolean V5 = true;

    /** What a case does to the servers; all cases of one kind share it. The words are those of the driver. */
    static final String BROKER_RESTART = "broker restart";
    static final String BROKER_KILL = "broker kill";
    static final String NAMESERVER_RESTART = "name server restart";

    final String name;
    final String area;
    final String promise;
    final Body body;
    /** Null for a case that leaves the servers alone. */
    final String disturbs;

    Case(String name, String area, String promise, Body body) {
        this(name, area, promise, null, body);
    }

    Case(String name, String area, String promise, String disturbs, Body body) {
        this.name = name;
        this.area = area;
        this.promise = promise;
        this.disturbs = disturbs;
        this.body = body;
    }

    Case(String name, String area, String promise, boolean since5, Body body) {
        this(name, area, promise, body);
    }
}
