package merlin.conformance;

/** One promise and the code that shows that it is kept; the code throws when it is not. */
final class Case {
    /** The code of a case. */
    interface Body {
        void run(Env env) throws Exception;
    }

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
}
