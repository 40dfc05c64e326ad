package com.github.merlinmq.recorder;

import java.io.ByteArrayInputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Properties;
import java.util.TreeMap;

/** Writes how Java reads properties text, and its string hashes and doubles. */
final class Texts {
    private Texts() {
    }

    /** The text, then the pairs, sorted by key; "error" when Java refuses it. */
    static void printProps(PrintStream out) throws Exception {
        String[] texts = {"", "a=b", "a = b ", "a:b", "a b", "a\tb", "a", "a=", "=b", ": b", "a==b", "a = = b", "a\\ b=c", "a\\=b=c", "a\\:=c",
            "# c\na=b", "  ! c\n  a=b", "a=b\\\n   c", "a=b\\\\\nc=d", "a=b\\", "\\", "a=1\na=2", "a=b\rc=d\r\ne=f", "a=\\t\\n\\r\\f\\x\\\\",
            "a=\\u0041\\u00e4", "a=\\uD83D\\uDE00", "a=\\u12", "a\\\n  b=c", "a=b\\\n\n c=d", "a=b\\\n# c\nd=e", "\f\t a \f=\t b", "a=b#c", "a = b\\ ",
            "listenPort = 10911\nbrokerName=x=y\n", "a\\", "a=b \\\n", "a:=b", "a =:b"};
        for (String text : texts) {
            Properties p = new Properties();
            StringBuilder line = new StringBuilder(base64(text));
            try {
                p.load(new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1)));
                new TreeMap<>(p).forEach((k, v) -> line.append('\t').append(base64((String) k)).append('\t').append(base64((String) v)));
            } catch (IllegalArgumentException e) {
                line.append("\terror");
            }
            out.println(line);
        }
    }

    /** Texts and their hashCode. */
    static void printHashes(PrintStream out) {
        for (String s : new String[] {"", "a", "TagA", "polygenelubricants", "\u00e4\u00f6\u00fc", "\u4e2d\u6587", "a\ud83d\ude00b", "x".repeat(1000), "%RETRY%group"}) {
            out.println(base64(s) + "\t" + s.hashCode());
        }
    }

    /** Bits and text of doubles. */
    static void printDoubles(PrintStream out) {
        double[] values = {0, -0.0, 1, -1, 0.1, 0.5, 100, 1e6, 9999999, 1e7, 12345678.9, 1e-3, 9.99e-4, 1e-5, 123.456, 1e21, 1e100, -2.5e-10,
            Double.MAX_VALUE, 1d / 3, 2d / 3, 1e22, 4.35, 0.3, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
        for (double d : values) {
            out.println(Double.doubleToLongBits(d) + "\t" + d);
        }
    }

    private static String base64(String s) {
        return Base64.getEncoder().encodeToString(s.getBytes(StandardCharsets.UTF_8));
    }
}
