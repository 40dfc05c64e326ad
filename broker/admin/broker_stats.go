package admin

import (
	"github.com/merlinmq/merlin/broker/stats"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// ViewBrokerStatsData is VIEW_BROKER_STATS_DATA (315): the last minute, hour and
// day of a counter, or SYSTEM_ERROR (1) when it never counted anything.
func (h *Handler) ViewBrokerStatsData(_ *remoting.Request, q *header.ViewBrokerStatsDataRequest) (*remoting.Answer, error) {
	s, ok := h.Stats.View(q.StatsName.V, q.StatsKey.V)
	if !ok {
		return refuse(protocol.SystemError, "The stats <%s> <%s> not exist", text(q.StatsName), text(q.StatsKey))
	}
	item := func(w stats.Window) *body.BrokerStatsItem {
		return &body.BrokerStatsItem{Sum: w.Sum, Tps: w.TPS, Avgpt: w.AvgPT}
	}
	return reply(&body.BrokerStatsData{StatsMinute: item(s.Minute), StatsHour: item(s.Hour), StatsDay: item(s.Day)})
}
