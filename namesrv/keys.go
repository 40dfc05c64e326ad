package namesrv

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/merlinmq/merlin/compat/javaprops"
)

// ErrPromise says that a setting promises something that this name server does not
// do.
var ErrPromise = errors.New("this name server cannot keep that promise")

// ErrForeign says that a key belongs into the file of another server.
var ErrForeign = errors.New("this is the configuration file")

// promises are the settings, with the value that makes the promise, whose promise
// would only be printed.
var promises = map[string]struct{ value, reason, instead string }{
	"clusterTest":               {"true", "it forwards to no other environment", "set clusterTest=false"},
	"enableControllerInNamesrv": {"true", "there is no controller in it, brokers would have no master chosen", "set enableControllerInNamesrv=false and run a controller of its own"},
	"useTLS":                    {"true", "notices to brokers are not encrypted", "set useTLS=false"},
	"aclEnable":                 {"true", "nobody is asked who he is", "guard the port by other means"},
	"authenticationEnabled":     {"true", "nobody is asked who he is", "guard the port by other means"},
	"authorizationEnabled":      {"true", "nobody is asked who he is", "guard the port by other means"},
}

// keep refuses a value that makes a promise this server does not keep.
func keep(key, value string) error {
	p, ok := promises[key]
	if ok && strings.EqualFold(strings.TrimSpace(value), p.value) {
		return fmt.Errorf("%s=%s: %w: %s; %s", key, p.value, ErrPromise, p.reason, p.instead)
	}
	if strings.HasPrefix(strings.ToLower(key), "tls.") {
		return fmt.Errorf("%s: %w: no key of this file guards connections: the port answers plain clients and, with a certificate of its own making, TLS; remove the key", key, ErrPromise)
	}
	return nil
}

// brokerKeys and controllerKeys are keys that tell whose file it is.
var (
	brokerKeys = []string{
		"brokerName", "brokerClusterName", "brokerId", "brokerRole", "brokerIP1", "namesrvAddr", "storePathRootDir",
		"storePathCommitLog", "flushDiskType", "deleteWhen", "fileReservedTime", "autoCreateTopicEnable", "mappedFileSizeCommitLog",
	}
	controllerKeys = []string{
		"controllerDLegerGroup", "controllerDLegerPeers", "controllerDLegerSelfId", "controllerStorePath", "controllerType",
		"enableElectUncleanMaster",
	}
)

// whose refuses a file that was written for another server. A controller's keys
// may stand in a name server's file, where enableControllerInNamesrv switches them.
func whose(es []javaprops.Entry) error {
	inside := slices.ContainsFunc(es, func(e javaprops.Entry) bool { return e.Key == "enableControllerInNamesrv" })
	for _, e := range es {
		if slices.Contains(brokerKeys, e.Key) {
			return fmt.Errorf("%s: %s: %w of a broker: give the name server its own", e.Pos(), e.Key, ErrForeign)
		}
		if !inside && slices.Contains(controllerKeys, e.Key) {
			return fmt.Errorf("%s: %s: %w of a controller: give the name server its own", e.Pos(), e.Key, ErrForeign)
		}
	}
	return nil
}

// clientKeys are the keys of NettyClientConfig, which Java's name server reads and
// this one has no use for.
var clientKeys = strings.Fields(`channelNotActiveInterval clientAsyncSemaphoreValue clientCallbackExecutorThreads
	clientChannelMaxIdleTimeSeconds clientCloseSocketIfTimeout clientOnewaySemaphoreValue clientPooledByteBufAllocatorEnable
	clientSocketRcvBufSize clientSocketSndBufSize clientWorkerThreads connectTimeoutMillis disableCallbackExecutor
	disableNettyWorkerGroup enableReconnectForGoAway isScanAvailableNameSrv maxReconnectIntervalTimeSeconds socksProxyConfig useTLS`)

// shownOnly are settings of Config that have no effect here.
var shownOnly = []string{"clientRequestThreadPoolNums"}

// warnings tells what of a file does not do what its author expects: unknown keys,
// each with its line, and in one line the keys without effect that differ from the
// default. fresh has the defaults.
func warnings(es []javaprops.Entry, file string, fresh *Config) []string {
	var out, idle []string
	defaults := fresh.Table()
	licence := len(es) > 0 && strings.HasPrefix(es[0].Key, "<!--")
	for _, e := range es {
		_, acted := fresh.field(e.Key)
		_, known := fresh.Others[e.Key]
		known = known || slices.Contains(clientKeys, e.Key) || slices.Contains(controllerKeys, e.Key)
		switch {
		case acted && !slices.Contains(shownOnly, e.Key):
		case acted || known:
			if v := strings.TrimSpace(e.Value); v != defaults[e.Key] {
				idle = append(idle, e.Key+"="+v)
			}
		case licence: // lines of an HTML comment around it, which are keys to Java
		default:
			out = append(out, e.Pos()+": unknown key "+e.Key+" is ignored")
		}
		if licence && (strings.HasSuffix(e.Key, "-->") || strings.HasSuffix(e.Value, "-->")) {
			licence = false
		}
	}
	if len(idle) > 0 {
		out = append(out, file+": these keys have no effect here: "+strings.Join(idle, ", "))
	}
	return out
}
