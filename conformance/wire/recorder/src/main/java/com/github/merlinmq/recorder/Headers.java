package com.github.merlinmq.recorder;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.BoundaryType;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.annotation.CFNotNull;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** Writes frames of every header class in both header encodings. */
final class Headers {
    static final List<String> SETS = List.of("full", "required", "fresh", "edge", "small", "odd", "even");

    private Headers() {
    }

    static void print(PrintStream out) throws Exception {
        for (Map.Entry<String, Class<?>> e : Classes.headers().entrySet()) {
            for (String set : SETS) {
                for (SerializeType type : SerializeType.values()) {
                    CommandCustomHeader h = fill(e.getValue(), set);
                    RemotingCommand cmd = RemotingCommand.createRequestCommand(1234, h);
                    cmd.setOpaque(7);
                    cmd.setSerializeTypeCurrentRPC(type);
                    out.println(e.getKey() + "\t" + set + "\t" + type + "\t" + frame(cmd));
                }
            }
        }
    }

    /** Frames without a header class: codes, flags, languages, remarks, ext fields. */
    static void printFrames(PrintStream out) {
        String[] remarks = {null, "", "all right", "quote \" backslash \\ slash / tab \t line \n \u0001\u001f\u007f\u009f\u2028 \u00e4 \u4e2d \ud83d\ude00"};
        int[] codes = {0, 1, 10, 310, 32767, 32768, 65535, 200050, 200151, -1};
        int opaque = -3;
        for (SerializeType type : SerializeType.values()) {
            for (int code : codes) {
                for (String remark : remarks) {
                    RemotingCommand cmd = RemotingCommand.createRequestCommand(code, null);
                    cmd.setOpaque(opaque++);
                    cmd.setRemark(remark);
                    cmd.setFlag(opaque & 3);
                    cmd.setLanguage(LanguageCode.values()[(opaque & 0xff) % LanguageCode.values().length]);
                    cmd.setVersion(opaque % 7 == 0 ? 317 : 479);
                    if (opaque % 2 == 0) {
                        cmd.addExtField("one \u00e4", remark == null ? "" : remark);
                    }
                    if (opaque % 3 == 0) {
                        cmd.setBody(new byte[] {1, 2, 3});
                    }
                    out.println(code + "\t" + (remark == null ? "null" : remark.length()) + "\t" + type + "\t" + frame(cmd));
                }
            }
        }
    }

    /** What the server puts on the wire (NettyEncoder). */
    static String frame(RemotingCommand cmd) {
        ByteBuf buf = Unpooled.buffer();
        cmd.fastEncodeHeader(buf);
        if (cmd.getBody() != null) {
            buf.writeBytes(cmd.getBody());
        }
        byte[] b = new byte[buf.readableBytes()];
        buf.readBytes(b);
        return Base64.getEncoder().encodeToString(b);
    }

    static CommandCustomHeader fill(Class<?> c, String set) throws Exception {
        CommandCustomHeader h = Classes.make(c);
        int i = 0;
        for (Field f : Classes.fields(c)) {
            i++;
            boolean time = f.get(h) instanceof Long && (Long) f.get(h) > 1_000_000_000_000L;
            boolean keep = set.equals("fresh") && !time || set.equals("required") && !f.isAnnotationPresent(CFNotNull.class)
                || set.equals("odd") && i % 2 == 0 || set.equals("even") && i % 2 == 1;
            if (keep && !time) {
                continue; // a field without a value in the frame gets its default back
            }
            f.set(h, value(f, set, i));
        }
        return h;
    }

    /** A value for a field; different for each field and set. */
    static Object value(Field f, String set, int i) {
        Class<?> t = f.getType();
        boolean edge = set.equals("edge");
        boolean small = set.equals("small");
        if (t == String.class) {
            return small ? "" : edge ? "a\"\\/\b\t\n\f\r\u0001\u0002\u001f\u007f\u0085\u00a0\u00e4\u4e2d\ud83d\ude00\u2028\u2029<>&'" + i
                : f.getName() + "-" + i;
        }
        if (t == int.class || t == Integer.class) {
            return small ? -i : edge ? (i % 2 == 0 ? Integer.MIN_VALUE : Integer.MAX_VALUE) : 1000 + i;
        }
        if (t == long.class || t == Long.class) {
            return small ? (long) -i : edge ? (i % 2 == 0 ? Long.MIN_VALUE : Long.MAX_VALUE) : 1700000000000L + i;
        }
        if (t == boolean.class || t == Boolean.class) {
            return small ? Boolean.FALSE : edge ? i % 2 == 0 : Boolean.TRUE;
        }
        if (t == double.class || t == Double.class) {
            return small ? -0.5 : edge ? 1e-7 : 12.25;
        }
        if (t == BoundaryType.class) {
            return small ? BoundaryType.LOWER : BoundaryType.UPPER;
        }
        if (t.isEnum()) {
            return t.getEnumConstants()[0];
        }
        throw new IllegalStateException("no value for " + f);
    }
}
