package merlin.conformance;

import java.io.DataInputStream;
import java.io.EOFException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Reads frames as they were on the wire from the input, decodes them with the client's own classes, and prints what is
 * in them: a line for each header, header field, message and property. A body that is not empty is read as messages.
 */
final class Decode {
    private Decode() {
    }

    static void run() throws Exception {
        DataInputStream in = new DataInputStream(System.in);
        while (true) {
            int length;
            try {
                length = in.readInt();
            } catch (EOFException end) {
                System.out.flush();
                return;
            }
            byte[] frame = new byte[length];
            in.readFully(frame);
            RemotingCommand c = RemotingCommand.decode(ByteBuffer.wrap(frame));
            System.out.println("frame code=" + c.getCode() + " opaque=" + c.getOpaque() + " response=" + c.isResponseType()
                + " remark=" + hex(c.getRemark() == null ? "" : c.getRemark()));
            fields("ext ", c.getExtFields());
            if (c.getBody() != null && c.getBody().length > 0) {
                List<MessageExt> all = MessageDecoder.decodes(ByteBuffer.wrap(c.getBody()), true);
                for (MessageExt m : all) {
                    message(m);
                }
            }
        }
    }

    private static void message(MessageExt m) {
        boolean compressed = (m.getSysFlag() & MessageSysFlag.COMPRESSED_FLAG) != 0;
        System.out.println("message topic=" + hex(m.getTopic()) + " queue=" + m.getQueueId() + " offset=" + m.getQueueOffset() + " log="
            + m.getCommitLogOffset() + " size=" + m.getStoreSize() + " flag=" + m.getFlag() + " sysFlag=" + m.getSysFlag() + " born="
            + m.getBornTimestamp() + " by=" + address(m.getBornHost()) + " stored=" + m.getStoreTimestamp() + " at=" + address(m.getStoreHost())
            + " again=" + m.getReconsumeTimes() + " prepared=" + m.getPreparedTransactionOffset() + " id=" + ((MessageClientExt) m).getOffsetMsgId() + " crc=" + m.getBodyCRC()
            + " fits=" + (compressed || UtilAll.crc32(m.getBody()) == m.getBodyCRC()) + " body=" + hex(m.getBody()));
        fields("property ", m.getProperties());
    }

    private static String address(SocketAddress a) {
        InetSocketAddress at = (InetSocketAddress) a;
        return at.getAddress().getHostAddress() + ":" + at.getPort();
    }

    private static void fields(String what, Map<String, String> fields) {
        if (fields != null) {
            for (Map.Entry<String, String> e : new TreeMap<>(fields).entrySet()) {
                System.out.println(what + hex(e.getKey()) + "=" + hex(e.getValue()));
            }
        }
    }

    private static String hex(String text) {
        return hex(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String hex(byte[] bytes) {
        StringBuilder b = new StringBuilder();
        for (byte x : bytes) {
            b.append(Character.forDigit(x >> 4 & 15, 16)).append(Character.forDigit(x & 15, 16));
        }
        return b.toString();
    }
}
