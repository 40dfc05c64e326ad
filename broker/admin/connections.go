package admin

import (
	"github.com/merlinmq/merlin/broker/client"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// GetConsumerConnectionList is GET_CONSUMER_CONNECTION_LIST (203): the members of
// a consumer group and what it subscribes to, or CONSUMER_NOT_ONLINE (206).
func (h *Handler) GetConsumerConnectionList(_ *remoting.Request, q *header.GetConsumerConnectionListRequest) (*remoting.Answer, error) {
	g := h.Consumers.Find(q.ConsumerGroup.V)
	if g == nil {
		return refuse(protocol.ConsumerNotOnline, "the consumer group[%s] not online", text(q.ConsumerGroup))
	}
	v := g.View()
	c := body.ConsumerConnection{
		ConnectionSet:     connections(g.Channels()),
		SubscriptionTable: make(map[string]body.SubscriptionData, len(v.Subscriptions)),
		ConsumeType:       v.ConsumeType, MessageModel: v.MessageModel, ConsumeFromWhere: v.ConsumeFromWhere,
	}
	for t, s := range v.Subscriptions {
		c.SubscriptionTable[t] = *s
	}
	return reply(&c)
}

// GetProducerConnectionList is GET_PRODUCER_CONNECTION_LIST (204): the members of
// a producer group, or SYSTEM_ERROR (1) when there is none.
func (h *Handler) GetProducerConnectionList(_ *remoting.Request, q *header.GetProducerConnectionListRequest) (*remoting.Answer, error) {
	chs := h.Producers.Channels(q.ProducerGroup.V)
	if len(chs) == 0 {
		return refuse(protocol.SystemError, "the producer group[%s] not exist", text(q.ProducerGroup))
	}
	return reply(&body.ProducerConnection{ConnectionSet: connections(chs)})
}

// GetAllProducerInfo is GET_ALL_PRODUCER_INFO (328): the members of all producer
// groups.
func (h *Handler) GetAllProducerInfo(*remoting.Request, *header.GetAllProducerInfoRequest) (*remoting.Answer, error) {
	t := body.ProducerTableInfo{Data: map[string][]body.ProducerInfo{}}
	for _, g := range h.Producers.Groups() {
		for _, ch := range h.Producers.Channels(g) {
			t.Data[g] = append(t.Data[g], body.ProducerInfo{
				ClientID: ch.ClientID, RemoteIP: "/" + ch.Peer.RemoteAddr().String(),
				Language: ch.Language, Version: ch.Version, LastUpdateTimestamp: ch.LastSeen(),
			})
		}
	}
	return reply(&t)
}

func connections(chs []*client.Channel) []body.Connection {
	out := make([]body.Connection, 0, len(chs))
	for _, ch := range chs {
		out = append(out, body.Connection{
			ClientID: ch.ClientID, ClientAddr: ch.Peer.RemoteAddr().String(),
			Language: ch.Language, Version: ch.Version,
		})
	}
	return out
}
