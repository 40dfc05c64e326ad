package com.github.merlinmq.recorder;

import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.jar.JarFile;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Finds the header classes of the RocketMQ jars and their fields. */
final class Classes {
    private Classes() {
    }

    /** All concrete header classes, by simple name. */
    static TreeMap<String, Class<?>> headers() throws Exception {
        TreeMap<String, Class<?>> found = new TreeMap<>();
        scan(CommandCustomHeader.class, found);
        scan(Class.forName("org.apache.rocketmq.controller.impl.task.BrokerCloseChannelRequest"), found);
        return found;
    }

    private static void scan(Class<?> anchor, TreeMap<String, Class<?>> found) throws Exception {
        File jar = new File(anchor.getProtectionDomain().getCodeSource().getLocation().toURI());
        try (JarFile entries = new JarFile(jar)) {
            List<String> names = new ArrayList<>();
            entries.stream().forEach(e -> names.add(e.getName()));
            for (String name : names) {
                if (!name.endsWith(".class") || !name.startsWith("org/apache/rocketmq/")) {
                    continue;
                }
                Class<?> c;
                try {
                    c = Class.forName(name.substring(0, name.length() - 6).replace('/', '.'), false, anchor.getClassLoader());
                } catch (LinkageError e) {
                    continue; // needs a library that headers do not need
                }
                if (CommandCustomHeader.class.isAssignableFrom(c) && !Modifier.isAbstract(c.getModifiers())) {
                    found.put(c.getSimpleName(), c);
                }
            }
        }
    }

    /** The fields in the order in which RemotingCommand puts them into extFields. */
    static List<Field> fields(Class<?> header) throws Exception {
        Method m = RemotingCommand.class.getDeclaredMethod("getClazzFields", Class.class);
        m.setAccessible(true);
        List<Field> fields = new ArrayList<>();
        RemotingCommand any = RemotingCommand.createRequestCommand(0, null);
        for (Field f : (Field[]) m.invoke(any, header)) {
            if (!Modifier.isStatic(f.getModifiers()) && !f.getName().startsWith("this")) {
                f.setAccessible(true);
                fields.add(f);
            }
        }
        return fields;
    }

    static CommandCustomHeader make(Class<?> header) throws Exception {
        var c = header.getDeclaredConstructor();
        c.setAccessible(true);
        return (CommandCustomHeader) c.newInstance();
    }
}
