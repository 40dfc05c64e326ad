package admin

import (
	"strconv"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// GetBrokerRuntimeInfo is GET_BROKER_RUNTIME_INFO (28): a table of texts that
// clusterList, brokerStatus, the dashboard and the Prometheus exporter parse. Next
// to what the store tells it has message totals, delay levels and the queues of
// the lanes. brokerVersion is there for the exporter. Timer messages are not
// served, so their keys have the values of Java with timerWheelEnable=false. A
// header field, which no client reads, says which implementation answers.
func (h *Handler) GetBrokerRuntimeInfo(*remoting.Request, *header.None) (*remoting.Answer, error) {
	t := map[string]string{}
	for k, v := range h.Store.RuntimeInfo() {
		t[k] = v
	}
	for level, v := range h.Delay.Offsets() {
		t["scheduleMessageOffset_"+strconv.Itoa(level)] = v
	}
	t["brokerActive"] = strconv.FormatBool(h.Active()) // BrokerController.isSpecialServiceRunning
	t["brokerVersionDesc"] = version.Name(version.Current)
	t["brokerVersion"] = strconv.Itoa(int(version.Current))
	h.totals(t)
	t["startAcceptSendRequestTimeStamp"] = itoa(h.Config.Get().StartAcceptSendRequestTimeStamp)
	t["timerReadBehind"], t["timerOffsetBehind"], t["timerCongestNum"] = "0", "0", "0"
	t["timerEnqueueTps"], t["timerDequeueTps"] = "0.0", "0.0"
	h.queues(t)
	a, err := reply(&body.KVTable{Table: t})
	if err != nil {
		return nil, err
	}
	a.Ext = []wire.Field{{Key: version.Field, Value: version.Implementation}}
	return a, nil
}

func (h *Handler) totals(t map[string]string) {
	n := h.Stats.Totals()
	t["msgPutTotalYesterdayMorning"], t["msgPutTotalTodayMorning"] = itoa(n.PutYesterdayMorning), itoa(n.PutTodayMorning)
	t["msgGetTotalYesterdayMorning"], t["msgGetTotalTodayMorning"] = itoa(n.GetYesterdayMorning), itoa(n.GetTodayMorning)
	t["msgPutTotalTodayNow"], t["msgGetTotalTodayNow"] = itoa(n.PutNow), itoa(n.GetNow)
}

func (h *Handler) queues(t map[string]string) {
	cfg, now := h.Config.Get(), h.Clock.NowMillis()
	for _, q := range []struct {
		name     string
		lane     *remoting.Lane
		capacity int
	}{
		{"send", h.Lanes.Send, cfg.SendThreadPoolQueueCapacity},
		{"pull", h.Lanes.Pull, cfg.PullThreadPoolQueueCapacity},
		{"litePull", h.Lanes.LitePull, cfg.LitePullThreadPoolQueueCapacity},
		{"query", h.Lanes.Query, cfg.QueryThreadPoolQueueCapacity},
		{"ack", h.Lanes.Ack, cfg.AckThreadPoolQueueCapacity},
	} {
		t[q.name+"ThreadPoolQueueSize"] = strconv.Itoa(queued(q.lane))
		t[q.name+"ThreadPoolQueueCapacity"] = strconv.Itoa(q.capacity)
		t[q.name+"ThreadPoolQueueHeadWaitTimeMills"] = "0"
		if q.lane != nil {
			t[q.name+"ThreadPoolQueueHeadWaitTimeMills"] = itoa(q.lane.HeadWait(now))
		}
	}
	t["EndTransactionQueueSize"] = strconv.Itoa(queued(h.Lanes.EndTransaction))
	t["EndTransactionThreadPoolQueueCapacity"] = strconv.Itoa(cfg.EndTransactionPoolQueueCapacity)
}

func queued(l *remoting.Lane) int {
	if l == nil {
		return 0
	}
	return l.Queued()
}
