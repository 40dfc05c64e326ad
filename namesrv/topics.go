package namesrv

import (
	"strings"
	"time"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/namesrv/kv"
	"github.com/merlinmq/merlin/namesrv/route"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/remoting"
)

// noRoute is the remark of a topic without a route, the hint of FAQUrl included.
const noRoute = "No topic route info in name server for the topic: %s" + protocol.FAQ

// getRoute is GET_ROUTEINFO_BY_TOPIC, 105: 17 for an unknown topic, 1 while
// needWaitForService holds. Clients from V4_9_4 on, and those that ask for it, get
// standard JSON; a client in zone mode gets fastjson's dialect whatever its
// version, as ZoneRouteRPCHook encodes again.
func (s *Server) getRoute(r *remoting.Request, q *header.GetRouteInfoRequest) (*remoting.Answer, error) {
	cfg := s.settings.get()
	wait := clock.Span(int64(cfg.WaitSecondsForService), time.Second)
	if cfg.NeedWaitForService && s.clock.NowMillis()-s.started < wait.Milliseconds() {
		return nil, protocol.Errorf(protocol.SystemError, "name server not ready")
	}
	data := s.table.Route(q.Topic.V)
	if data == nil {
		topic := q.Topic.V
		if !q.Topic.Set {
			topic = "null"
		}
		return nil, protocol.Errorf(protocol.TopicNotExist, noRoute, topic)
	}
	if cfg.OrderMessageEnable {
		data.OrderTopicConf, _ = s.kv.Get(kv.OrderTopics, q.Topic.V)
	}
	standard := r.Cmd.Version >= version.V4_9_4 || q.AcceptStandardJSONOnly.Or(false)
	if zone, on := askedZone(r); on {
		route.FilterZone(data, zone)
		standard = false
	}
	marshal := body.Marshal
	if standard {
		marshal = body.MarshalStandard
	}
	b, err := marshal(data)
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Body: b}, nil
}

// askedZone is the zone a client wants to stay in.
func askedZone(r *remoting.Request) (string, bool) {
	if mode, _ := r.Cmd.Lookup(zoneMode); !strings.EqualFold(mode, "true") {
		return "", false
	}
	zone, _ := r.Cmd.Lookup(zoneName)
	return zone, strings.TrimSpace(zone) != ""
}

// registerTopic is REGISTER_TOPIC_IN_NAMESRV, 217: the queues of one topic; always
// a success.
func (s *Server) registerTopic(r *remoting.Request, q *header.RegisterTopicRequest) (*remoting.Answer, error) {
	if err := need(q.Topic); err != nil {
		return nil, err
	}
	var data body.TopicRouteData
	if len(r.Cmd.Body) > 0 {
		if err := body.Unmarshal(r.Cmd.Body, &data); err != nil {
			return nil, err
		}
	}
	if len(data.QueueDatas) > 0 {
		s.table.RegisterTopic(q.Topic.V, data.QueueDatas)
	}
	return ok(nil)
}

// deleteTopic is DELETE_TOPIC_IN_NAMESRV, 216; always a success.
func (s *Server) deleteTopic(_ *remoting.Request, q *header.DeleteTopicFromNamesrvRequest) (*remoting.Answer, error) {
	if err := need(q.Topic); err != nil {
		return nil, err
	}
	s.table.DeleteTopic(q.Topic.V, q.ClusterName.V)
	return ok(nil)
}

// disabled is the answer of the topic lists that the configuration switches off.
func disabled() (*remoting.Answer, error) {
	return nil, protocol.Errorf(protocol.SystemError, "disable")
}

// allTopics is GET_ALL_TOPIC_LIST_FROM_NAMESERVER, 206.
func (s *Server) allTopics(*remoting.Request, *header.None) (*remoting.Answer, error) {
	if !s.settings.get().EnableAllTopicList {
		return disabled()
	}
	return ok(s.table.Topics(nil))
}

// topicsByCluster is GET_TOPICS_BY_CLUSTER, 224; an unknown cluster has no topics.
func (s *Server) topicsByCluster(_ *remoting.Request, q *header.GetTopicsByClusterRequest) (*remoting.Answer, error) {
	if !s.settings.get().EnableTopicList {
		return disabled()
	}
	return ok(s.table.ClusterTopics(q.Cluster.V))
}

// systemTopics is GET_SYSTEM_TOPIC_LIST_FROM_NS, 304.
func (s *Server) systemTopics(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return ok(s.table.SystemTopics())
}

// Bits of topicSysFlag (TopicSysFlag).
const (
	unit    = 1
	unitSub = 2
)

// unitTopics is GET_UNIT_TOPIC_LIST, 311.
func (s *Server) unitTopics(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return s.flagged(func(f int32) bool { return f&unit != 0 })
}

// unitSubTopics is GET_HAS_UNIT_SUB_TOPIC_LIST, 312.
func (s *Server) unitSubTopics(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return s.flagged(func(f int32) bool { return f&unitSub != 0 })
}

// unitSubUnunitTopics is GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST, 313.
func (s *Server) unitSubUnunitTopics(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return s.flagged(func(f int32) bool { return f&unitSub != 0 && f&unit == 0 })
}

func (s *Server) flagged(keep func(int32) bool) (*remoting.Answer, error) {
	if !s.settings.get().EnableTopicList {
		return disabled()
	}
	return ok(s.table.Topics(keep))
}
