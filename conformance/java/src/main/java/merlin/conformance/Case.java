package merlin.conformance;

/** One promise and the code that shows that it is kept; the code throws when it is not. */
final class Case {
    /** The code of a case. */
    interface Body {
        void run(Env env) throws Exception;
    }

    /** Marks a case about calls that clients 4.9 have not got; it is left out of their list. */
    static final boolean V5 = true;

    final String name;
    final String area;
    final String promise;
    final Body body;

    Case(String name, String area, String promise, Body body) {
        this.name = name;
        this.area = area;
        this.promise = promise;
        this.body = body;
    }

    Case(String name, String area, String promise, boolean since5, Body body) {
        this(name, area, promise, body);
    }
}
