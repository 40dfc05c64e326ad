package com.github.merlinmq.recorder;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.serializer.SerializerFeature;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.BitSet;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.remoting.protocol.body.RegisterBrokerBody;

/** Writes JSON bodies of every class, filled by reflection. */
final class Bodies {
    private static final String P = "org.apache.rocketmq.";
    private static final String R = P + "remoting.protocol.";

    /** All classes that are serialised as a body; those nested in others are covered by them. */
    static final String[] CLASSES = {
        R + "body.AclInfo", R + "body.BatchAck", R + "body.BatchAckMessageRequestBody", R + "route.BrokerData",
        R + "body.BrokerMemberGroup", R + "body.BrokerReplicasInfo", R + "body.BrokerStatsData", R + "body.BrokerStatsItem",
        R + "body.CheckClientRequestBody", P + "common.CheckRocksdbCqWriteResult", R + "body.ClusterInfo", R + "body.Connection",
        R + "body.ConsumeMessageDirectlyResult", R + "body.ConsumeQueueData", R + "admin.ConsumeStats", R + "body.ConsumeStatsList",
        R + "body.ConsumeStatus", R + "body.ConsumerConnection", R + "heartbeat.ConsumerData", R + "body.ConsumerOffsetSerializeWrapper",
        R + "body.ConsumerRunningInfo", R + "body.CreateTopicListRequestBody", R + "subscription.CustomizedRetryPolicy",
        R + "DataVersion", P + "broker.schedule.DelayOffsetSerializeWrapper",
        R + "body.ElectMasterResponseBody", R + "EpochEntry", R + "body.EpochEntryCache", R + "subscription.ExponentialRetryPolicy",
        R + "body.GetBrokerMemberGroupResponseBody", R + "header.GetConsumerListByGroupResponseBody",
        R + "body.GetConsumerStatusBody",
        R + "subscription.GroupForbidden", R + "body.GroupList", R + "subscription.GroupRetryPolicy", R + "body.HARuntimeInfo",
        R + "heartbeat.HeartbeatData", R + "body.KVTable", R + "body.LockBatchRequestBody", R + "body.LockBatchResponseBody",
        R + "statictopic.LogicQueueMappingItem", P + "common.message.MessageQueue", P + "common.message.MessageQueueAssignment",
        R + "body.ResetOffsetBodyForC",
        R + "body.MessageRequestModeSerializeWrapper", R + "admin.OffsetWrapper", R + "body.PopProcessQueueInfo",
        R + "body.ProcessQueueInfo", R + "body.ProducerConnection", R + "heartbeat.ProducerData", R + "body.ProducerInfo",
        R + "body.ProducerTableInfo", R + "body.QueryAssignmentRequestBody", R + "body.QueryAssignmentResponseBody",
        R + "body.QueryConsumeQueueResponseBody", R + "body.QueryConsumeTimeSpanBody", R + "body.QueryCorrectionOffsetBody",
        R + "body.QuerySubscriptionResponseBody", R + "route.QueueData", R + "body.QueueTimeSpan", R + "body.RegisterBrokerBody",
        R + "body.ResetOffsetBody", R + "admin.RollbackStats", R + "body.SetMessageRequestModeRequestBody",
        R + "subscription.SimpleSubscriptionData", R + "heartbeat.SubscriptionData", R + "subscription.SubscriptionGroupConfig",
        R + "body.SubscriptionGroupList", R + "body.SubscriptionGroupWrapper", R + "body.SyncStateSet",
        P + "store.timer.TimerMetrics$Metric", P + "store.timer.TimerMetrics$TimerMetricsSerializeWrapper",
        P + "common.TopicConfig", R + "body.TopicConfigAndMappingSerializeWrapper", R + "statictopic.TopicConfigAndQueueMapping",
        R + "body.TopicConfigSerializeWrapper", R + "body.TopicList", R + "admin.TopicOffset", R + "statictopic.TopicQueueMappingDetail",
        R + "statictopic.TopicQueueMappingInfo", R + "route.TopicRouteData", R + "admin.TopicStatsTable", R + "body.UnlockBatchRequestBody",
        R + "body.UserInfo",
    };

    private final String set;
    private int n; // grows with each value, so that all differ

    private Bodies(String set) {
        this.set = set;
    }

    static void print(PrintStream out) throws Exception {
        for (String name : CLASSES) {
            Class<?> c = Class.forName(name);
            String simple = c.getSimpleName();
            if (simple.equals("Metric")) {
                simple = "TimerMetric";
            }
            for (String set : List.of("fresh", "full", "wide", "edge", "zero")) {
                Object o = set.equals("fresh") ? fresh(c) : new Bodies(set).make(c, 0);
                line(out, simple, set, "compact", RemotingSerializable.encode(o));
                if (set.equals("wide")) {
                    continue;
                }
                line(out, simple, set, "pretty", RemotingSerializable.toJson(o, true).getBytes(StandardCharsets.UTF_8));
                line(out, simple, set, "standard", JSON.toJSONString(o, SerializerFeature.BrowserCompatible,
                    SerializerFeature.QuoteFieldNames, SerializerFeature.SkipTransientField, SerializerFeature.MapSortField)
                    .getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    private static void line(PrintStream out, String name, String set, String form, byte[] text) {
        out.println(name + "\t" + set + "\t" + form + "\t" + Base64.getEncoder().encodeToString(text));
    }

    /** Compressed registrations, as bytes and unfolded. */
    static void printRegister(PrintStream out) throws Exception {
        for (String set : List.of("fresh", "full", "wide")) {
            RegisterBrokerBody body = (RegisterBrokerBody) (set.equals("fresh") ? fresh(RegisterBrokerBody.class)
                : new Bodies(set).make(RegisterBrokerBody.class, 0));
            body.getTopicConfigSerializeWrapper().getTopicQueueMappingDetailMap().clear();
            body.getTopicConfigSerializeWrapper().getTopicQueueMappingInfoMap().entrySet()
                .forEach(e -> e.getValue().setTopic(e.getKey()));
            for (Map.Entry<String, TopicConfig> e : body.getTopicConfigSerializeWrapper().getTopicConfigTable().entrySet()) {
                e.getValue().setTopicName(e.getKey());
                e.getValue().setTopicSysFlag(0);
                e.getValue().setOrder(false);
            }
            body.getTopicConfigSerializeWrapper().setMappingDataVersion(body.getTopicConfigSerializeWrapper().getDataVersion());
            byte[] zipped = body.encode(true);
            java.io.ByteArrayOutputStream plain = new java.io.ByteArrayOutputStream();
            new java.util.zip.InflaterInputStream(new java.io.ByteArrayInputStream(zipped)).transferTo(plain);
            out.println(set + "\t" + Base64.getEncoder().encodeToString(zipped) + "\t"
                + Base64.getEncoder().encodeToString(plain.toByteArray()));
        }
    }

    /** A new object, its clocks set to a fixed time. */
    private static Object fresh(Class<?> c) throws Exception {
        Object o = construct(c);
        stopClocks(o);
        return o;
    }

    private static void stopClocks(Object o) throws Exception {
        for (Field f : fields(o.getClass())) {
            Object v = f.get(o);
            if (f.getType() == long.class && (Long) v > 1_000_000_000_000L && (Long) v != Long.MAX_VALUE) {
                f.setLong(o, 1700000000000L);
            } else if (v != null && v.getClass().getName().startsWith(P) && !v.getClass().isEnum()) {
                stopClocks(v);
            }
        }
    }

    private static Object construct(Class<?> c) throws Exception {
        try {
            var k = c.getDeclaredConstructor();
            k.setAccessible(true);
            return k.newInstance();
        } catch (NoSuchMethodException e) {
            // The order of the constructors is not defined: the shortest that copies nothing.
            var k = java.util.Arrays.stream(c.getDeclaredConstructors())
                .filter(x -> !java.util.Arrays.asList(x.getParameterTypes()).contains(c))
                .min(java.util.Comparator.comparing((java.lang.reflect.Constructor<?> x) -> x.getParameterCount())
                    .thenComparing(Object::toString)).orElseThrow();
            k.setAccessible(true);
            Object[] args = new Object[k.getParameterCount()];
            for (int i = 0; i < args.length; i++) {
                Class<?> t = k.getParameterTypes()[i];
                args[i] = t == boolean.class ? Boolean.FALSE : t == int.class ? (Object) 0 : t == long.class ? (Object) 0L
                    : t == double.class ? (Object) 0d : java.util.Set.class == t ? new java.util.HashSet<>()
                    : List.class == t ? new ArrayList<>() : Map.class == t ? new HashMap<>() : null;
            }
            return k.newInstance(args);
        }
    }

    private static List<Field> fields(Class<?> c) {
        List<Field> all = new ArrayList<>();
        for (; c != Object.class && c != null; c = c.getSuperclass()) {
            for (Field f : c.getDeclaredFields()) {
                if (!Modifier.isStatic(f.getModifiers()) && !Modifier.isTransient(f.getModifiers()) && f.getType() != Random.class) {
                    f.setAccessible(true);
                    all.add(f);
                }
            }
        }
        return all;
    }

    private Object make(Class<?> c, int depth) throws Exception {
        Object o = construct(c);
        for (Field f : fields(c)) {
            f.set(o, value(f.getGenericType(), f.get(o), f.getName(), depth + 1));
        }
        return o;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private Object value(Type type, Object old, String name, int depth) throws Exception {
        n++;
        boolean zero = set.equals("zero");
        boolean edge = set.equals("edge");
        if (type instanceof ParameterizedType) {
            Type[] a = ((ParameterizedType) type).getActualTypeArguments();
            Class<?> raw = (Class<?>) ((ParameterizedType) type).getRawType();
            int size = zero ? 0 : !set.equals("wide") || depth > 2 ? 1 : depth == 2 ? 2 : 20;
            if (Map.class.isAssignableFrom(raw)) {
                Map m = old != null ? (Map) old : ConcurrentMap.class.isAssignableFrom(raw) ? new ConcurrentHashMap()
                    : raw == TreeMap.class ? new TreeMap() : new HashMap();
                for (int i = 0; i < size; i++) {
                    m.put(key(a[0], name, i, depth), value(a[1], null, name, depth + 1));
                }
                return m;
            }
            if (Collection.class.isAssignableFrom(raw)) {
                Collection c = raw == TreeSet.class ? new TreeSet()
                    : java.util.Set.class.isAssignableFrom(raw) ? new LinkedHashSet() // in this order on every run
                    : new ArrayList();
                for (int i = 0; i < size; i++) {
                    c.add(value(a[0], null, name, depth + 1));
                }
                return c;
            }
        }
        Class<?> t = (Class<?>) type;
        if (t == String.class) {
            return zero ? old : edge ? "\"\\/\b\t\n\f\r\u0001\u007f\u0085\u00e4\u4e2d\ud83d\ude00\u2028<>&'" + n : String.format("%s-%04d", name, n);
        }
        if (t == int.class || t == Integer.class) {
            return zero ? 0 : edge ? (n % 2 == 0 ? Integer.MIN_VALUE : Integer.MAX_VALUE) : n;
        }
        if (t == long.class || t == Long.class) {
            return zero ? 0L : edge ? (n % 2 == 0 ? Long.MIN_VALUE : 9007199254740992L) : 1700000000000L + n;
        }
        if (t == boolean.class || t == Boolean.class) {
            return !zero;
        }
        if (t == double.class) {
            return zero ? 0d : edge ? (n % 2 == 0 ? -1.0E-5 : 12345678.9) : n + 0.25;
        }
        if (t == AtomicLong.class) {
            return new AtomicLong(zero ? 0 : n);
        }
        if (t == BitSet.class) {
            BitSet b = new BitSet();
            b.set(n % 64);
            b.set(3);
            return b;
        }
        if (t == long[].class) {
            return new long[] {n, zero ? 0 : 2L * n};
        }
        if (t == Properties.class) {
            Properties p = new Properties();
            p.setProperty(name + n, "v" + n);
            return p;
        }
        if (t.isEnum()) {
            Object[] all = t.getEnumConstants();
            return all[n % all.length];
        }
        if (depth > 6 || t instanceof Class && (Object) t instanceof GenericArrayType) {
            return null;
        }
        return zero && old == null ? null : make(t, depth);
    }

    private Object key(Type type, String name, int i, int depth) throws Exception {
        if (type == String.class) {
            return String.format("%s-%02d", name, i);
        }
        if (type == Integer.class) {
            return i * 7;
        }
        if (type == Long.class) {
            return i * 7L;
        }
        return make((Class<?>) type, depth);
    }
}
