package namesrv

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/remoting"
)

// makeRoutes lists every request code of a name server. Routes of topics are
// answered where they are read; everything else is queued for workers, because it
// reads large bodies, writes files, or walks the whole table.
func (s *Server) makeRoutes(c *Config) *remoting.Routes {
	client := &remoting.Lane{Name: "client", Inline: true, Capacity: c.ClientRequestThreadPoolQueueCapacity}
	other := &remoting.Lane{Name: "default", Workers: c.DefaultThreadPoolNums, Capacity: c.DefaultThreadPoolQueueCapacity}
	r := remoting.NewRoutes()

	remoting.On(r, protocol.GetRouteInfoByTopic, client, s.getRoute) // 105

	remoting.On(r, protocol.RegisterBroker, other, s.registerBroker)          // 103
	remoting.On(r, protocol.UnregisterBroker, other, s.unregisterBroker)      // 104
	remoting.On(r, protocol.QueryDataVersion, other, s.queryDataVersion)      // 322
	remoting.On(r, protocol.BrokerHeartbeat, other, s.brokerHeartbeat)        // 904
	remoting.On(r, protocol.GetBrokerMemberGroup, other, s.brokerMemberGroup) // 901
	remoting.On(r, protocol.RegisterTopicInNamesrv, other, s.registerTopic)   // 217
	remoting.On(r, protocol.DeleteTopicInNamesrv, other, s.deleteTopic)       // 216
	remoting.On(r, protocol.GetBrokerClusterInfo, other, s.clusterInfo)       // 106
	remoting.On(r, protocol.WipeWritePermOfBroker, other, s.wipeWritePerm)    // 205
	remoting.On(r, protocol.AddWritePermOfBroker, other, s.addWritePerm)      // 327

	remoting.On(r, protocol.GetAllTopicListFromNameserver, other, s.allTopics)          // 206
	remoting.On(r, protocol.GetTopicsByCluster, other, s.topicsByCluster)               // 224
	remoting.On(r, protocol.GetSystemTopicListFromNS, other, s.systemTopics)            // 304
	remoting.On(r, protocol.GetUnitTopicList, other, s.unitTopics)                      // 311
	remoting.On(r, protocol.GetHasUnitSubTopicList, other, s.unitSubTopics)             // 312
	remoting.On(r, protocol.GetHasUnitSubUnunitTopicList, other, s.unitSubUnunitTopics) // 313

	remoting.On(r, protocol.PutKVConfig, other, s.putKV)                // 100
	remoting.On(r, protocol.GetKVConfig, other, s.getKV)                // 101
	remoting.On(r, protocol.DeleteKVConfig, other, s.deleteKV)          // 102
	remoting.On(r, protocol.GetKVListByNamespace, other, s.listKV)      // 219
	remoting.On(r, protocol.UpdateNamesrvConfig, other, s.updateConfig) // 318
	remoting.On(r, protocol.GetNamesrvConfig, other, s.getConfig)       // 319
	return r
}

// Codes are the request codes that it answers, ascending.
func (s *Server) Codes() []protocol.Code { return s.routes.Codes() }
