package com.github.merlinmq.recorder;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.common.message.MessageVersion;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.MessageExtEncoder;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** Writes stored records, batch bodies, message ids and property texts. */
final class Records {
    private Records() {
    }

    static void print(PrintStream out) throws Exception {
        String[] topics = {"T", "TopicTest", "t".repeat(127), "t".repeat(128), "t".repeat(255)};
        String[] properties = {"", "TAGS\u0001TagA\u0002", "KEYS\u0001k1 k2\u0002TAGS\u0001\u00e4\u4e2d\ud83d\ude00", "x\u0001" + "y".repeat(300) + "\u0002"};
        byte[][] bodies = {{}, "hello".getBytes(StandardCharsets.UTF_8), new byte[500]};
        boolean[] both = {false, true};
        int i = 0;
        for (String topic : topics) {
            for (String props : properties) {
                for (boolean bornV6 : both) {
                    for (boolean crc : both) {
                        i++;
                        record(out, i, topic, props, bodies[i % 3], bornV6, i % 4 < 2, crc);
                    }
                }
            }
        }
    }

    private static void record(PrintStream out, int i, String topic, String props, byte[] body, boolean bornV6,
        boolean storeV6, boolean crc) throws Exception {
        MessageExtBrokerInner m = new MessageExtBrokerInner();
        m.setTopic(topic);
        m.setBody(body);
        m.setPropertiesString(props);
        m.setQueueId(i);
        m.setFlag(-i);
        m.setSysFlag(i % 2 == 0 ? MessageSysFlag.COMPRESSED_FLAG | MessageSysFlag.COMPRESSION_ZLIB_TYPE
            : MessageSysFlag.TRANSACTION_PREPARED_TYPE | MessageSysFlag.INNER_BATCH_FLAG | MessageSysFlag.NEED_UNWRAP_FLAG);
        m.setBornTimestamp(1700000000000L + i);
        m.setStoreTimestamp(1700000001000L + i);
        m.setBornHost(host(bornV6, 50000 + i));
        m.setStoreHost(host(storeV6, 10911));
        if (bornV6) {
            m.setBornHostV6Flag();
        }
        if (storeV6) {
            m.setStoreHostAddressV6Flag();
        }
        m.setReconsumeTimes(i % 17);
        m.setPreparedTransactionOffset(1L << i % 60);
        m.setBodyCRC(UtilAll.crc32(body));
        m.setQueueOffset(1000L * i);
        m.setVersion(topic.length() > Byte.MAX_VALUE ? MessageVersion.MESSAGE_VERSION_V2 : MessageVersion.MESSAGE_VERSION_V1);
        MessageStoreConfig config = new MessageStoreConfig();
        config.setEnabledAppendPropCRC(crc);
        MessageExtEncoder encoder = new MessageExtEncoder(config);
        if (encoder.encode(m) != null) {
            throw new IllegalStateException("record " + i + " was refused");
        }
        ByteBuffer buf = encoder.getEncoderBuffer();
        byte[] rec = new byte[buf.getInt(0)];
        buf.get(rec);
        ByteBuffer view = ByteBuffer.wrap(rec);
        view.putLong(MessageDecoder.PHY_POS_POSITION, 1L << 40 | i); // as the commit log does when it knows the place
        if (crc) { // CommitLog.appendMessage
            int size = rec.length - 20;
            ByteBuf tail = Unpooled.buffer(20);
            MessageDecoder.createCrc32(tail, UtilAll.crc32(rec, 0, size));
            tail.readBytes(rec, size, 20);
        }
        String id = MessageDecoder.createMessageId(m.getStoreHost(), 1L << 40 | i);
        out.println(topic.length() + "\t" + (crc ? "crc" : "plain") + "\t" + id + "\t" + Base64.getEncoder().encodeToString(rec));
    }

    private static InetSocketAddress host(boolean v6, int port) throws Exception {
        byte[] a = v6 ? new byte[16] : new byte[] {10, 1, 2, 3};
        if (v6) {
            a[0] = 0x20;
            a[1] = 1;
            a[15] = 7;
        }
        return new InetSocketAddress(InetAddress.getByAddress(a), port);
    }

    /** Batch bodies: number of messages, then the body. */
    static void printBatches(PrintStream out) {
        for (int n = 1; n <= 5; n++) {
            List<Message> messages = new ArrayList<>();
            for (int i = 0; i < n; i++) {
                Message m = new Message("T", i % 2 == 0 ? "TagA" : "\u00e4", "k" + i + " k", ("body " + i).getBytes(StandardCharsets.UTF_8));
                m.setFlag(i - 2);
                if (i == 3) {
                    m.setBody(new byte[0]);
                }
                messages.add(m);
            }
            out.println(n + "\t" + Base64.getEncoder().encodeToString(MessageDecoder.encodeMessages(messages)));
        }
    }

    /** Property texts: the text, and the pairs that Java reads from it. */
    static void printProperties(PrintStream out) {
        String[] texts = {"", "a\u0001b\u0002", "a\u0001b", "\u0001b\u0002c\u0001d", "a\u0001\u0002c\u0001d\u0002", "ab\u0002c\u0001d\u0002",
            "a\u0001b\u0001c\u0002", "a\u0001b\u0002a\u0001c\u0002", "\u0002\u0002a\u0001b\u0002", "\u00e4\u0001\u4e2d\ud83d\ude00\u0002"};
        for (String text : texts) {
            Map<String, String> map = MessageDecoder.string2messageProperties(text);
            Map<String, String> sorted = new java.util.TreeMap<>(map);
            StringBuilder pairs = new StringBuilder();
            sorted.forEach((k, v) -> pairs.append('\t').append(base64(k)).append('\t').append(base64(v)));
            out.println(base64(text) + "\t" + base64(MessageDecoder.messageProperties2String(new LinkedHashMap<>(sorted))) + pairs);
        }
    }

    private static String base64(String s) {
        return Base64.getEncoder().encodeToString(s.getBytes(StandardCharsets.UTF_8));
    }
}
