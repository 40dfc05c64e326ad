package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrPromise says that a value promises protection, copies, membership or a storage
// that this broker does not have.
var ErrPromise = errors.New("this broker cannot keep that promise")

// ErrForeign says that a key belongs into the file of another server.
var ErrForeign = errors.New("this is the configuration file")

// promise is a setting that says that the broker protects, copies, shares or keeps
// messages in a way that this broker does not. A start with it would leave the
// promise printed and nothing behind it, so it is refused.
type promise struct {
	key string
	// made says whether a value, in the form of Key.check, makes the promise. c
	// gives the values of all other keys.
	made func(v string, c values) bool
	// reason is what would not be so; instead is what the operator can do.
	reason, instead string
}

// values gives the value of a key, "" when it has none.
type values func(key string) string

func isTrue(v string, _ values) bool  { return v == "true" }
func isGiven(v string, _ values) bool { return v != "" }

// above says that a number is larger than n.
func above(n int64) func(string, values) bool {
	return func(v string, _ values) bool {
		got, err := strconv.ParseInt(v, 10, 64)
		return err == nil && got > n
	}
}

// oneCopy stands behind every key that asks for copies.
const (
	oneCopy  = "this broker keeps one copy of each message and has no slaves"
	openDoor = "nobody would be asked who he is, every client could read and write everything"
	remove   = "remove the key"
)

// promises are the keys whose promise this broker does not keep. TestKeys_AreClassified
// holds that each known key is here, in Config, or in idleKeys.
var promises = []promise{
	// Protection.
	{"aclEnable", isTrue, openDoor, "set aclEnable=false and guard the ports by other means"},
	{"authenticationEnabled", isTrue, openDoor, "set authenticationEnabled=false and guard the ports by other means"},
	{"authorizationEnabled", isTrue, openDoor, "set authorizationEnabled=false and guard the ports by other means"},
	{"useTLS", isTrue, "connections to name servers are not encrypted", "set useTLS=false"},

	// Copies.
	{"brokerRole", func(v string, _ values) bool { return v == "SYNC_MASTER" || v == "SLAVE" },
		oneCopy + ": neither would a send wait for a second copy, nor would this broker be one", "set brokerRole=ASYNC_MASTER"},
	{"inSyncReplicas", above(1), oneCopy, "set inSyncReplicas=1"},
	{"minInSyncReplicas", above(1), oneCopy, "set minInSyncReplicas=1"},
	{"totalReplicas", above(1), oneCopy, "set totalReplicas=1"},
	{"allAckInSyncStateSet", isTrue, oneCopy, remove},
	{"enableAutoInSyncReplicas", isTrue, oneCopy, remove},
	{"duplicationEnable", isTrue, oneCopy, remove},
	{"asyncLearner", isTrue, oneCopy, remove},

	// Membership of a group of brokers.
	{"brokerId", above(0), "a number above 0 is a slave's, and this broker is a master", "set brokerId=0"},
	{"enableDLegerCommitLog", isTrue, "this broker takes part in no DLedger group", remove},
	{"enableControllerMode", isTrue, "this broker takes its role from no controller", remove},
	{"enableSlaveActingMaster", isTrue, "no slave would act for this broker, nor it for another", remove},
	{"enableRemoteEscape", isTrue, "messages would not go to another broker while this one may not write", remove},
	{"fetchNameSrvAddrByDnsLookup", isTrue, "only the addresses of namesrvAddr themselves would know this broker", "list all name servers in namesrvAddr"},
	{"fetchNamesrvAddrByAddressServer", func(v string, c values) bool { return v == "true" && strings.TrimSpace(c("namesrvAddr")) == "" },
		"no address server is asked, so no name server would know this broker", "list all name servers in namesrvAddr"},

	// Another storage, or another way of storing.
	{"storeType", func(v string, _ values) bool { return !strings.EqualFold(v, "default") },
		"queues and offsets are kept in files, not in RocksDB: what is in that store would not be seen", "set storeType=default for a store of files; RocksDB's cannot be taken over"},
	{"configManagerVersion", func(v string, _ values) bool { return v != "" && v != "v1" },
		"topics, groups and offsets are kept in config/*.json: those in RocksDB would not be seen", "set configManagerVersion=v1 and export them to config/*.json first"},
	{"rocksdbCQDoubleWriteEnable", isTrue, "queues are written to files only: RocksDB's would miss entries from now on", remove},
	{"messageStorePlugIn", isGiven, "there is no plug-in: a tiered store would get nothing, and what is in it would not be seen", remove},
	{"readOnlyCommitLogStorePaths", isGiven, "the messages in those directories would not be seen", "keep one directory, storePathCommitLog"},
	{"storePathCommitLog", func(v string, _ values) bool { return strings.Contains(v, ",") },
		"the log has one directory: the messages in the others would not be seen", "keep one directory"},
	{"enableConsumeQueueExt", isTrue, "queues are written without extension files: entries that lead to one would be filtered wrongly", remove},
	{"enableLmq", isTrue, "messages would not reach the light queues that their senders name", remove},
	{"enableMultiDispatch", isTrue, "messages would not reach the light queues that their senders name", remove},
}

// refuse is the error that a value gives which makes the promise.
func (p *promise) refuse(v string) error {
	return fmt.Errorf("%s=%s: %w: %s; %s", p.key, clip(v), ErrPromise, p.reason, p.instead)
}

// promiseOf finds the promise that a value makes, nil when it makes none.
func promiseOf(key, v string, c values) *promise {
	for i := range promises {
		if p := &promises[i]; p.key == key && p.made(v, c) {
			return p
		}
	}
	return nil
}

// foreign are keys of other servers' files. One of them tells whose file it is:
// a broker with it would start with other settings than its author thinks.
var foreign = map[string]string{
	"kvConfigPath": "a name server", "productEnvName": "a name server", "clusterTest": "a name server",
	"orderMessageEnable": "a name server", "returnOrderTopicConfigToBroker": "a name server",
	"scanNotActiveBrokerInterval": "a name server", "enableControllerInNamesrv": "a name server",
	"deleteTopicWithBrokerRegistration": "a name server", "supportActingMaster": "a name server",
	"controllerDLegerGroup": "a controller", "controllerDLegerPeers": "a controller", "controllerDLegerSelfId": "a controller",
	"controllerStorePath": "a controller", "enableElectUncleanMaster": "a controller", "controllerType": "a controller",
	"brokerConfigPaths": "a broker container", "brokerContainerIP": "a broker container", "updateNamesrvAddrInterval": "a broker container",
}

// guards says whether an unknown key looks like one that protects connections.
// Java reads these from system properties (-Dtls.server.mode), so they do nothing
// in its file either, but whoever wrote them believes otherwise.
func guards(key string) bool {
	k := strings.ToLower(key)
	return strings.HasPrefix(k, "tls.") || k == "tlsenable" || k == "tlsserverneedclientauth" || k == "tlsmode" || k == "tlstestmodeenable"
}
