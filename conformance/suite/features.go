package suite

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/merlinmq/merlin/compat/version"
)

// feature is something that a cluster may lack, with the cases that are about it
// in every suite: Go, Java and wire cases share their names.
type feature struct {
	name  string
	cases *regexp.Regexp
	// suite is the beginning of the suite's name where only that one is meant.
	suite string
	// off returns why the cluster lacks it, or nothing.
	off func(v int32, conf map[string]string) string
}

func features() []feature {
	is := func(key, value string) func(int32, map[string]string) string {
		return func(_ int32, conf map[string]string) string {
			if conf[key] == value {
				return "turned off on this broker: " + key + "=" + value
			}
			return ""
		}
	}
	since := func(v int32) func(int32, map[string]string) string {
		return func(server int32, _ map[string]string) string {
			if server >= 0 && server < v {
				return "comes with " + version.Name(v) + ", the broker is " + version.Name(server)
			}
			return ""
		}
	}
	of := func(name, cases string, off func(int32, map[string]string) string) feature {
		return feature{name: name, cases: regexp.MustCompile(cases), off: off}
	}
	wire := of("the answers that wire cases are about", ``, since(version.V5_0_0))
	wire.suite = "wire"
	lite := of("pulls as lite consumers of 5.x send them", `^lite-`, since(version.V5_0_0))
	lite.suite = "java 5"
	return []feature{
		of("groups made by their first member", `^(send-retry-topic-unknown|pull-group-made|heartbeat.*|send-back-unknown-group|reset(-binary|-go|-cpp|-ancient|-end|-not-forced)?|status-.*|status|`+
			`group-put-.*|group-delete.*|group-get-unknown|forbid.*|consumer-connections-(old|broadcast)|running-info-old|bad-consumer-send-msg-back-.*)$`,
			is("autoCreateSubscriptionGroup", "false")),
		of("members that are told of each other", `^(consume-)?member-(joins|told)$`, is("notifyConsumerIdsChangedEnable", "false")),
		of("lite pulls", `^(lite-|bad-lite-pull-)`, is("litePullMessageEnable", "false")),
		of("replies that are stored", `^(reply-|bad-send-reply-message-)`, is("storeReplyMessageEnable", "false")),
		of("traces", `^trace`, is("traceOn", "false")),
		of("checks of transactions within a minute", `^transaction-(check|other)`, rarely("transactionCheckInterval", "transactionTimeOut")),
		of("topics that are made with four queues", `^send-auto-create(-many)?$`, fewQueues),
		of("topics made by the first message", `auto-create|^send-namespace$`, is("autoCreateTopicEnable", "false")),
		of("transactions", `transaction`, is("rejectTransactionMessage", "true")),
		of("queries by key", `^(query-|trace)`, is("messageIndexEnable", "false")),
		of("messages of 4 MiB", `^send-(sizes|too-large)$`, otherSize),
		of("delays of 1, 5 and 10 seconds", `^(retry|delay-|broker-(restart|kill)-delay)`, otherDelays),
		of("SQL92 turned off", `^sql-refused$`, is("enablePropertyFilter", "true")),
		of("answers of 5.x", `^(send-illegal-queue|send-empty|offset-not-found|offset-by-time|offsets|offset-reset-queue)$`, since(version.V5_0_0)),
		lite, wire,
	}
}

func otherSize(_ int32, conf map[string]string) string {
	const usual = "4194304"
	if size := conf["maxMessageSize"]; size != "" && size != usual {
		return "the case is about the default of " + usual + " bytes; here maxMessageSize=" + size
	}
	return ""
}

func otherDelays(_ int32, conf map[string]string) string {
	if levels := conf["messageDelayLevel"]; levels != "" && !strings.HasPrefix(levels, "1s 5s 10s ") {
		return "the case is about the default delay levels; here messageDelayLevel=" + levels
	}
	return ""
}

// rarely says that one of the times, in milliseconds, is longer than cases wait.
func rarely(keys ...string) func(int32, map[string]string) string {
	return func(_ int32, conf map[string]string) string {
		for _, key := range keys {
			if n, err := strconv.Atoi(conf[key]); err == nil && n > 60_000 {
				return "longer than the case waits: " + key + "=" + conf[key]
			}
		}
		return ""
	}
}

// fewQueues says that the default topic has fewer queues than producers ask for,
// or more than cases do.
func fewQueues(_ int32, conf map[string]string) string {
	if n, err := strconv.Atoi(conf["defaultTopicQueueNums"]); err == nil && (n < 4 || n > 64) {
		return "the case is about 4 to 64 queues; here defaultTopicQueueNums=" + conf["defaultTopicQueueNums"]
	}
	return ""
}
