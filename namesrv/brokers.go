package namesrv

import (
	"errors"
	"hash/crc32"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/namesrv/route"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// zoneName and zoneMode are extFields that brokers and clients add to tell their
// zone (MixAll.ZONE_NAME, ZONE_MODE).
const (
	zoneName = "__ZONE_NAME"
	zoneMode = "__ZONE_MODE"
)

// ok is the answer SUCCESS with a body that is encoded as v; nil = no body.
func ok(v any) (*remoting.Answer, error) {
	if v == nil {
		return &remoting.Answer{}, nil
	}
	b, err := body.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &remoting.Answer{Body: b}, nil
}

// need refuses a request without a required field. Java takes null for a name and
// fails somewhere behind it, with the same code.
func need(fields ...wire.OptString) error {
	for i, f := range fields {
		if !f.Set {
			return protocol.Errorf(protocol.SystemError, "required header field number %d is missing", i+1)
		}
	}
	return nil
}

// registerBroker is REGISTER_BROKER, 103: the broker, its topics and its addresses
// go into the table; a slave is told its master, and the order topic
// configurations go back as the body.
func (s *Server) registerBroker(r *remoting.Request, q *header.RegisterBrokerRequest) (*remoting.Answer, error) {
	if err := need(q.ClusterName, q.BrokerAddr, q.BrokerName); err != nil {
		return nil, err
	}
	if !q.BrokerID.Set {
		return nil, protocol.Errorf(protocol.SystemError, "required header field brokerId is missing")
	}
	if sum := q.BodyCRC32.Or(0); sum != 0 && sum != int32(crc32.ChecksumIEEE(r.Cmd.Body)&0x7FFFFFFF) {
		return notRegistered("crc32 not match")
	}
	reg := route.Registration{
		Cluster: q.ClusterName.V, Addr: q.BrokerAddr.V, Name: q.BrokerName.V, ID: q.BrokerID.V,
		HAServer: q.HaServerAddr.V, Timeout: q.HeartbeatTimeoutMillis, ActingMaster: q.EnableActingMaster, Conn: r.Conn,
	}
	reg.Zone, _ = r.Cmd.Lookup(zoneName)
	if err := readRegistration(r.Cmd, q.Compressed, &reg); err != nil {
		s.log.Warn("a registration cannot be read", "broker", q.BrokerName.V, "addr", q.BrokerAddr.V, "error", err)
		return notRegistered("Failed to decode RegisterBrokerBody")
	}
	res, err := s.table.Register(reg)
	if errors.Is(err, route.ErrSingleTopic) {
		return notRegistered("register broker failed")
	}
	if err != nil {
		return nil, err
	}
	a := &remoting.Answer{Header: &header.RegisterBrokerResponse{HaServerAddr: some(res.HAServer), MasterAddr: some(res.MasterAddr)}}
	if s.settings.get().ReturnOrderTopicConfigToBroker {
		if a.Body, err = s.kv.Orders(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// notRegistered refuses a registration; the answer has the fields of its header
// class, none of them set, as Java's.
func notRegistered(remark string) (*remoting.Answer, error) {
	a := remoting.Refuse(protocol.SystemError, remark)
	a.Header = &header.RegisterBrokerResponse{}
	return a, nil
}

func some(s string) wire.OptString {
	if s == "" {
		return wire.OptString{}
	}
	return wire.Some(s)
}

// readRegistration reads the body of a registration; brokers before V3_0_11 send
// the topics alone. Without a body the broker has no topics, and version 0.
func readRegistration(cmd *wire.Command, compressed bool, reg *route.Registration) error {
	switch {
	case len(cmd.Body) == 0:
		reg.Topics = &body.TopicConfigAndMappingSerializeWrapper{}
		reg.FilterServers = []string{}
		if cmd.Version < version.V3_0_11 {
			reg.FilterServers = nil
		}
		return nil
	case cmd.Version < version.V3_0_11:
		reg.Topics = &body.TopicConfigAndMappingSerializeWrapper{}
		return body.Unmarshal(cmd.Body, &reg.Topics.TopicConfigSerializeWrapper)
	}
	b, err := body.DecodeRegisterBroker(cmd.Body, compressed, cmd.Version)
	if err != nil {
		return err
	}
	reg.Topics, reg.FilterServers = &b.TopicConfigSerializeWrapper, b.FilterServerList
	return nil
}

// unregisterBroker is UNREGISTER_BROKER, 104: the removal is queued; 1 when the
// queue is full.
func (s *Server) unregisterBroker(r *remoting.Request, q *header.UnRegisterBrokerRequest) (*remoting.Answer, error) {
	if err := need(q.BrokerName, q.BrokerAddr, q.ClusterName); err != nil {
		return nil, err
	}
	if !s.table.Unregister(route.Removal{Cluster: q.ClusterName.V, Addr: q.BrokerAddr.V, Name: q.BrokerName.V, ID: q.BrokerID.Or(-1)}) {
		return &remoting.Answer{Code: protocol.SystemError}, nil
	}
	return ok(nil)
}

// queryDataVersion is QUERY_DATA_VERSION, 322: whether the broker's topics have
// changed since its last registration, and the version of that as the body.
func (s *Server) queryDataVersion(r *remoting.Request, q *header.QueryDataVersionRequest) (*remoting.Answer, error) {
	if err := need(q.ClusterName, q.BrokerAddr); err != nil {
		return nil, err
	}
	var v *body.DataVersion
	if len(r.Cmd.Body) > 0 {
		v = new(body.DataVersion)
		if err := body.Unmarshal(r.Cmd.Body, v); err != nil {
			return nil, err
		}
	}
	changed, known := s.table.Query(q.ClusterName.V, q.BrokerAddr.V, v)
	a := &remoting.Answer{Header: &header.QueryDataVersionResponse{Changed: wire.Some(changed)}}
	if known != nil {
		var err error
		if a.Body, err = body.Marshal(known); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// brokerHeartbeat is BROKER_HEARTBEAT, 904: a sign of life.
func (s *Server) brokerHeartbeat(_ *remoting.Request, q *header.BrokerHeartbeatRequest) (*remoting.Answer, error) {
	s.table.Heartbeat(q.ClusterName.V, q.BrokerAddr.V)
	return ok(nil)
}

// brokerMemberGroup is GET_BROKER_MEMBER_GROUP, 901. The remark of its success is
// Java's, which forgets to take the initial one away.
func (s *Server) brokerMemberGroup(_ *remoting.Request, q *header.GetBrokerMemberGroupRequest) (*remoting.Answer, error) {
	a, err := ok(&body.GetBrokerMemberGroupResponseBody{BrokerMemberGroup: s.table.Members(q.ClusterName.V, q.BrokerName.V)})
	if err == nil {
		a.Remark, a.HasRemark = "not set any response code", true
	}
	return a, err
}

// clusterInfo is GET_BROKER_CLUSTER_INFO, 106, in fastjson's dialect whatever the
// client.
func (s *Server) clusterInfo(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return ok(s.table.Cluster())
}

// wipeWritePerm is WIPE_WRITE_PERM_OF_BROKER, 205, and addWritePerm
// ADD_WRITE_PERM_OF_BROKER, 327: the answer is the number of topics.
func (s *Server) wipeWritePerm(r *remoting.Request, q *header.WipeWritePermOfBrokerRequest) (*remoting.Answer, error) {
	n := s.table.WipeWritePerm(q.BrokerName.V)
	s.log.Info("write permission wiped", "broker", q.BrokerName.V, "client", r.Conn.RemoteAddr(), "topics", n)
	return &remoting.Answer{Header: &header.WipeWritePermOfBrokerResponse{WipeTopicCount: wire.Some(int32(n))}}, nil
}

func (s *Server) addWritePerm(r *remoting.Request, q *header.AddWritePermOfBrokerRequest) (*remoting.Answer, error) {
	n := s.table.AddWritePerm(q.BrokerName.V)
	s.log.Info("write permission added", "broker", q.BrokerName.V, "client", r.Conn.RemoteAddr(), "topics", n)
	return &remoting.Answer{Header: &header.AddWritePermOfBrokerResponse{AddTopicCount: wire.Some(int32(n))}}, nil
}
