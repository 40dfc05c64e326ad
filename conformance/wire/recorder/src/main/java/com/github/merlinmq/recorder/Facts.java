package com.github.merlinmq.recorder;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.action.Action;
import org.apache.rocketmq.common.action.RocketMQAction;
import org.apache.rocketmq.common.resource.RocketMQResource;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.annotation.CFNotNull;
import org.apache.rocketmq.remoting.annotation.CFNullable;
import org.apache.rocketmq.remoting.protocol.FastCodesHeader;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingSysResponseCode;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;

/** Prints what the tables of the protocol are made of, one tab separated line each. */
final class Facts {
    private Facts() {
    }

    static void print(PrintStream out) throws Exception {
        constants(out, "request", RequestCode.class);
        constants(out, "response", RemotingSysResponseCode.class, ResponseCode.class);
        for (LanguageCode l : LanguageCode.values()) {
            out.println("language\t" + l.getCode() + "\t" + l.name());
        }
        for (MQVersion.Version v : MQVersion.Version.values()) {
            out.println("version\t" + v.ordinal() + "\t" + v.name());
        }
        for (Map.Entry<String, Class<?>> e : Classes.headers().entrySet()) {
            header(out, e.getKey(), e.getValue());
        }
    }

    private static void constants(PrintStream out, String kind, Class<?>... classes) throws Exception {
        TreeMap<Integer, String> all = new TreeMap<>();
        for (Class<?> c : classes) {
            for (Field f : c.getFields()) {
                if (Modifier.isStatic(f.getModifiers()) && f.getType() == int.class) {
                    all.put(f.getInt(null), f.getName());
                }
            }
        }
        all.forEach((code, name) -> out.println(kind + "\t" + code + "\t" + name));
    }

    private static void header(PrintStream out, String name, Class<?> c) throws Exception {
        RocketMQAction action = c.getAnnotation(RocketMQAction.class);
        String acl = "-";
        if (action != null) {
            List<String> actions = new ArrayList<>();
            for (Action a : action.action()) {
                actions.add(a.name());
            }
            acl = action.value() + "\t" + action.resource().name() + "\t" + String.join(",", actions);
        }
        out.println("header\t" + name + "\t" + (FastCodesHeader.class.isAssignableFrom(c) ? "fast" : "plain") + "\t" + acl);
        CommandCustomHeader fresh = Classes.make(c);
        for (Field f : Classes.fields(c)) {
            String nullable = f.isAnnotationPresent(CFNotNull.class) ? "CFNotNull"
                : f.isAnnotationPresent(CFNullable.class) ? "CFNullable" : "unmarked";
            RocketMQResource resource = f.getAnnotation(RocketMQResource.class);
            String res = resource == null ? "-" : resource.value().name()
                + (resource.splitter().isEmpty() ? "" : " split by '" + resource.splitter() + "'");
            out.println(String.join("\t", "field", name, f.getName(), f.getType().getSimpleName(), nullable,
                f.getDeclaringClass().getSimpleName(), res, standard(f.get(fresh))));
        }
        if (FastCodesHeader.class.isAssignableFrom(c)) {
            out.println("binary\t" + name + "\t" + String.join(",", binaryOrder(c)));
        }
    }

    /** The value a new header has in a field. */
    private static String standard(Object v) {
        if (v instanceof Long && Math.abs((Long) v - System.currentTimeMillis()) < 3_600_000L) {
            return "now";
        }
        return v == null ? "null" : "'" + v + "'";
    }

    /** The keys that the hand-written codec of a class writes, in its order. */
    private static List<String> binaryOrder(Class<?> c) throws Exception {
        CommandCustomHeader h = Classes.make(c);
        for (Field f : Classes.fields(c)) {
            f.set(h, Headers.value(f, "full", 0));
        }
        ByteBuf buf = Unpooled.buffer();
        ((FastCodesHeader) h).encode(buf);
        List<String> keys = new ArrayList<>();
        while (buf.isReadable()) {
            keys.add(buf.readCharSequence(buf.readShort(), StandardCharsets.UTF_8).toString());
            buf.skipBytes(buf.readInt());
        }
        return keys;
    }
}
