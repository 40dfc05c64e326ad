package merlin.conformance;

import java.lang.reflect.Method;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** What the client libraries 4.9 and 5.x spell differently. */
final class Versions {
    private Versions() {
    }

    /** The class of group configurations moved to another package in 5.x. */
    static void putGroup(DefaultMQAdminExt admin, String broker, String group) throws Exception {
        for (Method m : DefaultMQAdminExt.class.getMethods()) {
            if (m.getName().equals("createAndUpdateSubscriptionGroupConfig")) {
                Object config = m.getParameterTypes()[1].getConstructor().newInstance();
                config.getClass().getMethod("setGroupName", String.class).invoke(config, group);
                m.invoke(admin, broker, config);
                return;
            }
        }
        throw new IllegalStateException("no createAndUpdateSubscriptionGroupConfig");
    }

    /** The cluster and the topic changed their places in 5.x. */
    static void deleteTopicInNameServer(DefaultMQAdminExt admin, Set<String> servers, String cluster, String topic) throws Exception {
        boolean v5 = MQVersion.CURRENT_VERSION >= MQVersion.Version.V5_0_0.ordinal();
        admin.deleteTopicInNameServer(servers, v5 ? cluster : topic, v5 ? topic : cluster);
    }

    /** New in 5.x. */
    static void resetOffsetByQueueId(DefaultMQAdminExt admin, String broker, String group, String topic, int queue, long offset)
        throws Exception {
        DefaultMQAdminExt.class.getMethod("resetOffsetByQueueId", String.class, String.class, String.class, int.class, long.class)
            .invoke(admin, broker, group, topic, queue, offset);
    }

    /** MessageModel moved to another package in 5.x. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    static void broadcasting(DefaultMQPushConsumer c) throws Exception {
        for (Method m : DefaultMQPushConsumer.class.getMethods()) {
            if (m.getName().equals("setMessageModel")) {
                m.invoke(c, Enum.valueOf((Class<Enum>) m.getParameterTypes()[0], "BROADCASTING"));
                return;
            }
        }
        throw new IllegalStateException("no setMessageModel");
    }
}
