package broker

import (
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/remoting"
)

// newRoutes says who answers which code. The fast port takes everything but
// reading, as Java's does.
func newRoutes(h *handlers, l *lanes, fast bool) *remoting.Routes {
	rs := remoting.NewRoutes()
	if !fast {
		remoting.On(rs, protocol.PullMessage, l.pull, h.pull.Pull)     // 11
		remoting.On(rs, protocol.LitePullMessage, l.pull, h.pull.Pull) // 361
	}
	rs.HandleBatches([]protocol.Code{protocol.SendMessage.Code, protocol.SendMessageV2.Code, protocol.SendBatchMessage.Code},
		l.send, h.send.Sends) // 10, 310, 320
	remoting.OnLocal(rs, protocol.SendMessageV2, h.send.Send)
	remoting.OnLocal(rs, protocol.SendBatchMessage, h.send.Send)
	remoting.On(rs, protocol.QueryMessage, l.query, h.query.Message)                                                      // 12
	remoting.On(rs, protocol.QueryConsumerOffset, l.consumer, h.offsets.Query)                                            // 14
	remoting.On(rs, protocol.UpdateConsumerOffset, l.consumer, h.offsets.Update)                                          // 15
	remoting.On(rs, protocol.UpdateAndCreateTopic, l.admin, h.admin.UpdateAndCreateTopic)                                 // 17
	remoting.On(rs, protocol.UpdateAndCreateTopicList, l.admin, h.admin.UpdateAndCreateTopicList)                         // 18
	remoting.On(rs, protocol.GetAllTopicConfig, l.admin, h.admin.GetAllTopicConfig)                                       // 21
	remoting.On(rs, protocol.UpdateBrokerConfig, l.admin, h.admin.UpdateBrokerConfig)                                     // 25
	remoting.On(rs, protocol.GetBrokerConfig, l.admin, h.admin.GetBrokerConfig)                                           // 26
	remoting.On(rs, protocol.GetBrokerRuntimeInfo, l.admin, h.admin.GetBrokerRuntimeInfo)                                 // 28
	remoting.On(rs, protocol.SearchOffsetByTimestamp, l.query, h.query.Search)                                            // 29
	remoting.On(rs, protocol.GetMaxOffset, l.query, h.query.MaxOffset)                                                    // 30
	remoting.On(rs, protocol.GetMinOffset, l.query, h.query.MinOffset)                                                    // 31
	remoting.On(rs, protocol.GetEarliestMsgStoreTime, l.query, h.query.EarliestStoreTime)                                 // 32
	remoting.On(rs, protocol.ViewMessageByID, l.query, h.query.View)                                                      // 33
	remoting.On(rs, protocol.HeartBeat, l.heartbeat, h.clients.Heartbeat)                                                 // 34
	remoting.On(rs, protocol.UnregisterClient, l.client, h.clients.Unregister)                                            // 35
	remoting.On(rs, protocol.ConsumerSendMsgBack, l.back, h.send.Back)                                                    // 36
	remoting.On(rs, protocol.EndTransaction, l.transaction, h.txn.End)                                                    // 37
	remoting.On(rs, protocol.GetConsumerListByGroup, l.client, h.clients.ListConsumers)                                   // 38
	remoting.On(rs, protocol.LockBatchMQ, l.client, h.clients.Lock)                                                       // 41
	remoting.On(rs, protocol.UnlockBatchMQ, l.client, h.clients.Unlock)                                                   // 42
	remoting.On(rs, protocol.GetAllConsumerOffset, l.admin, h.admin.GetAllConsumerOffset)                                 // 43
	remoting.On(rs, protocol.GetAllDelayOffset, l.admin, h.admin.GetAllDelayOffset)                                       // 45
	remoting.On(rs, protocol.CheckClientConfig, l.client, h.clients.CheckConfig)                                          // 46
	remoting.On(rs, protocol.UpdateAndCreateSubscriptionGroup, l.admin, h.admin.UpdateAndCreateSubscriptionGroup)         // 200
	remoting.On(rs, protocol.GetAllSubscriptionGroupConfig, l.admin, h.admin.GetAllSubscriptionGroupConfig)               // 201
	remoting.On(rs, protocol.GetTopicStatsInfo, l.admin, h.admin.GetTopicStatsInfo)                                       // 202
	remoting.On(rs, protocol.GetConsumerConnectionList, l.admin, h.admin.GetConsumerConnectionList)                       // 203
	remoting.On(rs, protocol.GetProducerConnectionList, l.admin, h.admin.GetProducerConnectionList)                       // 204
	remoting.On(rs, protocol.DeleteSubscriptionGroup, l.admin, h.admin.DeleteSubscriptionGroup)                           // 207
	remoting.On(rs, protocol.GetConsumeStats, l.admin, h.admin.GetConsumeStats)                                           // 208
	remoting.On(rs, protocol.DeleteTopicInBroker, l.admin, h.admin.DeleteTopicInBroker)                                   // 215
	remoting.On(rs, protocol.InvokeBrokerToResetOffset, l.admin, h.admin.InvokeBrokerToResetOffset)                       // 222
	remoting.On(rs, protocol.InvokeBrokerToGetConsumerStatus, l.admin, h.admin.InvokeBrokerToGetConsumerStatus)           // 223
	remoting.On(rs, protocol.UpdateAndCreateSubscriptionGroupList, l.admin, h.admin.UpdateAndCreateSubscriptionGroupList) // 225
	remoting.On(rs, protocol.QueryTopicConsumeByWho, l.admin, h.admin.QueryTopicConsumeByWho)                             // 300
	remoting.On(rs, protocol.QueryConsumeTimeSpan, l.admin, h.admin.QueryConsumeTimeSpan)                                 // 303
	remoting.On(rs, protocol.GetSystemTopicListFromBroker, l.admin, h.admin.GetSystemTopicListFromBroker)                 // 305
	remoting.On(rs, protocol.CleanExpiredConsumeQueue, l.admin, h.admin.CleanExpiredConsumeQueue)                         // 306
	remoting.On(rs, protocol.GetConsumerRunningInfo, l.admin, h.admin.GetConsumerRunningInfo)                             // 307
	remoting.On(rs, protocol.QueryCorrectionOffset, l.admin, h.admin.QueryCorrectionOffset)                               // 308
	remoting.On(rs, protocol.ConsumeMessageDirectly, l.admin, h.admin.ConsumeMessageDirectly)                             // 309
	remoting.On(rs, protocol.CloneGroupOffset, l.admin, h.admin.CloneGroupOffset)                                         // 314
	remoting.On(rs, protocol.ViewBrokerStatsData, l.admin, h.admin.ViewBrokerStatsData)                                   // 315
	remoting.On(rs, protocol.CleanUnusedTopic, l.admin, h.admin.CleanUnusedTopic)                                         // 316
	remoting.On(rs, protocol.GetBrokerConsumeStats, l.admin, h.admin.GetBrokerConsumeStats)                               // 317
	remoting.On(rs, protocol.QueryConsumeQueue, l.admin, h.admin.QueryConsumeQueue)                                       // 321
	remoting.On(rs, protocol.ResumeCheckHalfMessage, l.admin, h.txn.Resume)                                               // 323
	rs.Handle(protocol.SendReplyMessage.Code, l.reply, h.reply.Send)                                                      // 324
	rs.Handle(protocol.SendReplyMessageV2.Code, l.reply, h.reply.Send)                                                    // 325
	remoting.On(rs, protocol.GetAllProducerInfo, l.admin, h.admin.GetAllProducerInfo)                                     // 328
	remoting.On(rs, protocol.DeleteExpiredCommitLog, l.admin, h.admin.DeleteExpiredCommitLog)                             // 329
	remoting.On(rs, protocol.QueryTopicsByConsumer, l.admin, h.admin.QueryTopicsByConsumer)                               // 343
	remoting.On(rs, protocol.QuerySubscriptionByConsumer, l.admin, h.admin.QuerySubscriptionByConsumer)                   // 345
	remoting.On(rs, protocol.GetTopicConfig, l.admin, h.admin.GetTopicConfig)                                             // 351
	remoting.On(rs, protocol.GetSubscriptionGroupConfig, l.admin, h.admin.GetSubscriptionGroupConfig)                     // 352
	remoting.On(rs, protocol.UpdateAndGetGroupForbidden, l.admin, h.admin.UpdateAndGetGroupForbidden)                     // 353
	remoting.On(rs, protocol.GetBrokerHAStatus, l.admin, h.admin.GetBrokerHaStatus)                                       // 907
	rs.Large(protocol.QueryMessage.Code, protocol.ViewMessageByID.Code)
	rs.Reads(protocol.QueryMessage.Code, protocol.ViewMessageByID.Code, protocol.SearchOffsetByTimestamp.Code,
		protocol.GetAllTopicConfig.Code, protocol.GetBrokerConfig.Code, protocol.GetBrokerRuntimeInfo.Code,
		protocol.GetAllConsumerOffset.Code, protocol.GetAllDelayOffset.Code, protocol.GetAllSubscriptionGroupConfig.Code,
		protocol.GetTopicStatsInfo.Code, protocol.GetConsumeStats.Code, protocol.QueryTopicConsumeByWho.Code,
		protocol.QueryConsumeTimeSpan.Code, protocol.GetSystemTopicListFromBroker.Code, protocol.ViewBrokerStatsData.Code,
		protocol.GetBrokerConsumeStats.Code, protocol.QueryConsumeQueue.Code, protocol.GetAllProducerInfo.Code,
		protocol.QueryTopicsByConsumer.Code, protocol.QuerySubscriptionByConsumer.Code)
	return rs
}
